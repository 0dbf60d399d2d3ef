package sim
import ("testing";"fmt";"time";"github.com/lockstepmq/lockstep/clock")
func TestZ(t *testing.T) {
	plan := NewPlan(46, Disk, clock.NewSim(46).Rand("plan"))
	w := NewWorld(plan)
	var last string
	w.trace.SetSink(clock.LevelMessage, func(l clock.Level, at time.Duration, who, what string) {
		if who != "store" || w.journal == nil { return }
		f := w.journal.disk.ReadFile(journalFile)
		s := fmt.Sprintf("size>%v", len(f) > 173520+64)
		if len(f) > 173520+64 { s = fmt.Sprintf("%x", f[173520:173520+64]) }
		if s != last { fmt.Println(at, what, len(f), s); last = s }
	})
	w.phases(4*time.Second+500*time.Millisecond)
}
