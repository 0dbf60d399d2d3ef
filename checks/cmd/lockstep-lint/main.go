// Command lockstep-lint reports what would make a simulated run differ from
// another with the same seed.
//
//	lockstep-lint ./...           report findings; exit status 1 on load errors, 3 on findings
//	lockstep-lint -exempt ./...   list the files that are exempt, with their reasons
package main

import (
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/tools/go/analysis/singlechecker"
	"golang.org/x/tools/go/packages"

	"github.com/lockstepmq/lockstep/checks/determinism"
)

func main() {
	if i := slices.IndexFunc(os.Args, isExemptFlag); i > 0 {
		if err := listExempt(os.Stdout, slices.Delete(os.Args[1:], i-1, i)); err != nil {
			fmt.Fprintln(os.Stderr, "lockstep-lint:", err)
			os.Exit(1)
		}
		return
	}
	singlechecker.Main(determinism.Analyzer)
}

func isExemptFlag(arg string) bool { return arg == "-exempt" || arg == "--exempt" }

// listExempt prints one line a file: its path and the reason of its exemption.
func listExempt(w io.Writer, patterns []string) error {
	pkgs, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles | packages.NeedSyntax,
	}, patterns...)
	if err != nil {
		return fmt.Errorf("load packages %v: %w", patterns, err)
	}
	for _, p := range pkgs {
		if !determinism.Judged(p.PkgPath) {
			continue
		}
		for _, file := range p.Syntax {
			if reason, ok := determinism.Exemption(file); ok {
				name := p.Fset.Position(file.Package).Filename
				if _, err := fmt.Fprintf(w, "%s: %s\n", name, reason); err != nil {
					return fmt.Errorf("write the list: %w", err)
				}
			}
		}
	}
	return nil
}
