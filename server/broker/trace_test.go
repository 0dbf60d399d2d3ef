package broker_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// lines is a logger that keeps what it is told.
type lines []string

func (l *lines) add(level, format string, v []any) {
	*l = append(*l, level+" "+fmt.Sprintf(format, v...))
}
func (l *lines) Noticef(format string, v ...any) { l.add("INF", format, v) }
func (l *lines) Warnf(format string, v ...any)   { l.add("WRN", format, v) }
func (l *lines) Fatalf(format string, v ...any)  { l.add("FTL", format, v) }
func (l *lines) Errorf(format string, v ...any)  { l.add("ERR", format, v) }
func (l *lines) Debugf(format string, v ...any)  { l.add("DBG", format, v) }
func (l *lines) Tracef(format string, v ...any)  { l.add("TRC", format, v) }

// TestTrace: what the protocol trace shows of an exchange, and what it hides.
func TestTrace(t *testing.T) {
	for _, tc := range []struct {
		name, conf string
		want       []string
	}{
		{"payloads", "trace: true", []string{
			`<<- [CONNECT {"verbose":false,"headers":true,"pass":"[REDACTED]"}]`,
			`<<- [SUB foo q 1]`, `<<- [HPUB foo r 12 14]`, `<<- MSG_PAYLOAD: ["NATS/1.0\r\n\r\nhi"]`,
			`->> [HMSG foo 1 r 12 14]`, `->> MSG_PAYLOAD: ["NATS/1.0\r\n\r\nhi"]`, `<<- [PUB foo 0]`, `->> [MSG foo 1 0]`,
			`<<- [UNSUB 1]`, `<-> [DELSUB 1]`,
		}},
		{"headers alone", "trace_headers: true", []string{
			`<<- [CONNECT {"verbose":false,"headers":true,"pass":"[REDACTED]"}]`,
			`<<- [SUB foo q 1]`, `<<- [HPUB foo r 12 14]`, `<<- MSG_PAYLOAD: ["NATS/1.0"]`,
			`->> [HMSG foo 1 r 12 14]`, `->> MSG_PAYLOAD: ["NATS/1.0"]`, `<<- [PUB foo 0]`, `->> [MSG foo 1 0]`,
			`<<- [UNSUB 1]`, `<-> [DELSUB 1]`,
		}},
		{"cut", "trace: true\nmax_traced_msg_len: 4", []string{
			`<<- [CONNECT {"verbose":false,"headers":true,"pass":"[REDACTED]"}]`,
			`<<- [SUB foo q 1]`, `<<- [HPUB foo r 12 14]`, `<<- MSG_PAYLOAD: ["NATS..."]`,
			`->> [HMSG foo 1 r 12 14]`, `->> MSG_PAYLOAD: ["NATS..."]`, `<<- [PUB foo 0]`, `->> [MSG foo 1 0]`,
			`<<- [UNSUB 1]`, `<-> [DELSUB 1]`,
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScript(t, tc.conf)
			var got lines
			s.log.Set(&got)
			s.log.SetLevels(false, true, false)
			s.open("a")
			s.settle()
			s.send("a", `CONNECT {"verbose":false,"headers":true,"pass":"secret"}`+`\r\nSUB foo q 1\r\nHPUB foo r 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPUB foo 0\r\n\r\nUNSUB 1\r\n`)
			s.settle()
			var traced []string
			for _, l := range got {
				if _, text, ok := strings.Cut(l, ` - "$G" - `); ok && strings.HasPrefix(l, "TRC") {
					traced = append(traced, text)
				} else if i := strings.Index(l, "cid:1 - "); i >= 0 && strings.HasPrefix(l, "TRC") {
					traced = append(traced, l[i+len("cid:1 - "):])
				}
			}
			require.Equal(t, tc.want, traced)
		})
	}
}
