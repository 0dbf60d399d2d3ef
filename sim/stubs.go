package sim

import "math/rand/v2"

type JournalPlan struct{}
type journalLoad struct{}
type garbageClient struct{}

func newJournalPlan(rnd *rand.Rand, p Profile) *JournalPlan { return nil }
func (w *World) startGarbage()                              {}
func (w *World) stopGarbage()                               {}
func (w *World) startJournal()                              {}
func (w *World) isGarbage(uint64) bool                      { return false }
func DiskFaultNames() []string                              { return nil }
