package sim

import ("testing";"encoding/json")

func TestX(t *testing.T) {
	r := Run(Options{Seed: 1, Profile: Calm})
	b, _ := json.MarshalIndent(r, "", " ")
	t.Log(string(b), r.Vacuous)
}
