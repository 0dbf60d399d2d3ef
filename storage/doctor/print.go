package doctor

import (
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

const (
	widthMin = 40
	// findingsMax is how many findings of a kind are printed.
	findingsMax = 100
)

// Print writes the report for a terminal of this many columns, 40 at least.
func (r *Report) Print(out io.Writer, width int) {
	width = max(width, widthMin)
	r.printParts(out, width)
	printFindings(out, width, "Damage", r.Damage)
	printFindings(out, width, "Notes", r.Notes)
	fmt.Fprintf(out, "\n%s\n", wrap(r.verdict(), width, ""))
}

func (r *Report) printParts(out io.Writer, width int) {
	const frame = 10                 // lines and blanks of three columns
	state := len(Encrypted.String()) // the longest
	name := (width - frame - state) / 3
	t := table.NewWriter()
	t.SetOutputMirror(out)
	t.SetStyle(table.StyleLight)
	t.SetColumnConfigs([]table.ColumnConfig{
		{Number: 1, WidthMax: name, WidthMaxEnforcer: text.WrapSoft},
		{Number: 3, WidthMax: width - frame - state - name, WidthMaxEnforcer: text.WrapSoft},
	})
	t.AppendHeader(table.Row{"part", "state", "what is there"})
	for _, p := range r.Parts {
		t.AppendRow(table.Row{printable(p.Name), p.State.String(), printable(p.Detail)})
	}
	t.Render()
}

func printFindings(out io.Writer, width int, title string, list []Finding) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(out, "\n%s:\n", title)
	for i, f := range list {
		if i == findingsMax {
			fmt.Fprintf(out, "  and %d more\n", len(list)-i)
			break
		}
		line := f.Where + ": " + f.Text
		if len(f.Concerned) > 0 {
			line += "; concerned: " + strings.Join(f.Concerned, ", ")
		}
		fmt.Fprintf(out, "  - %s\n", wrap(printable(line), width-4, "    "))
	}
}

// verdict is the last line.
func (r *Report) verdict() string {
	var of [Damaged + 1]int
	for _, p := range r.Parts {
		of[p.State]++
	}
	text := "SOUND."
	switch {
	case r.State() == Damaged:
		text = fmt.Sprintf("DAMAGED: %d of %d parts. Nothing was changed. Keep a copy of the directory before anything else; "+
			"what the server can still read it serves, and what is lost comes back from a backup or a mirror only.", of[Damaged], len(r.Parts))
	case of[Unread] > 0:
		text = fmt.Sprintf("SOUND as far as it could be read: %d of %d parts were not.", of[Unread], len(r.Parts))
	case of[Encrypted] > 0:
		text = "SOUND as far as it could be examined."
	}
	if of[Encrypted] > 0 {
		text += fmt.Sprintf(" Encrypted, and not examined without the key: %d of %d parts.", of[Encrypted], len(r.Parts))
	}
	return text
}

// printable keeps names of files from commanding the terminal.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 {
			return '?'
		}
		return c
	}, s)
}

// wrap breaks a text at blanks; lines after the first are indented.
func wrap(s string, width int, indent string) string {
	var b strings.Builder
	line := 0
	for _, word := range strings.Fields(s) {
		n := len([]rune(word))
		for ; n > width; n = len([]rune(word)) { // nothing to break it at
			head := string([]rune(word)[:width])
			if line > 0 {
				b.WriteString("\n" + indent)
			}
			b.WriteString(head)
			word, line = word[len(head):], width
		}
		switch {
		case line == 0:
		case line+1+n > width:
			b.WriteString("\n" + indent)
			line = 0
		default:
			b.WriteByte(' ')
			line++
		}
		b.WriteString(word)
		line += n
	}
	return b.String()
}
