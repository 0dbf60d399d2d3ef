package main

import (
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/lockstepmq/lockstep/checks/core"
	"github.com/lockstepmq/lockstep/checks/js"
	"github.com/lockstepmq/lockstep/sim"
)

func listCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List profiles, faults and invariants", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t := newTable(cmd.OutOrStdout())
			t.AppendHeader(table.Row{"profile", "what may happen"})
			for _, p := range sim.Profiles() {
				t.AppendRow(table.Row{p.Name, p.About})
			}
			t.Render()
			t = newTable(cmd.OutOrStdout())
			t.AppendHeader(table.Row{"faults"})
			for _, f := range [...][]string{sim.FaultNames(), sim.DiskFaultNames(), {"hostile clients: " + strings.Join(sim.MisdeedNames(), ", ")}} {
				t.AppendRow(table.Row{strings.Join(f, ", ")})
			}
			t.SetColumnConfigs([]table.ColumnConfig{{Number: 1, WidthMax: 100, WidthMaxEnforcer: text.WrapSoft}})
			t.Render()
			t = newTable(cmd.OutOrStdout())
			t.AppendHeader(table.Row{"scripted plan", "what happens"})
			for _, s := range sim.Scripts() {
				t.AppendRow(table.Row{s.Name, s.About})
			}
			t.Render()
			t = newTable(cmd.OutOrStdout())
			t.AppendHeader(table.Row{"features of the workload"})
			t.AppendRow(table.Row{strings.Join(sim.FeatureNames(), ", ")})
			t.SetColumnConfigs([]table.ColumnConfig{{Number: 1, WidthMax: 100, WidthMaxEnforcer: text.WrapSoft}})
			t.Render()
			t = newTable(cmd.OutOrStdout())
			t.AppendHeader(table.Row{"workload of JetStream", "what it does"})
			for _, l := range sim.JSLoads() {
				t.AppendRow(table.Row{l.Name, l.About})
			}
			t.Render()
			t = newTable(cmd.OutOrStdout())
			t.AppendHeader(table.Row{"invariant", "what must hold"})
			for _, i := range slices.Concat(core.Invariants(), js.Invariants()) {
				t.AppendRow(table.Row{i.Name, i.About})
			}
			t.SetColumnConfigs([]table.ColumnConfig{{Number: 2, WidthMax: 90, WidthMaxEnforcer: text.WrapSoft}})
			t.Render()
			return nil
		},
	}
}
