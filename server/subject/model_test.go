package subject

import (
	"strings"

	"pgregory.net/rapid"
)

// The models are the definitions, written as plainly as they go.

func modelValid(s string) bool {
	tokens := strings.Split(s, ".")
	for i, t := range tokens {
		if t == "" || t == ">" && i != len(tokens)-1 {
			return false
		}
	}
	return true
}

func modelLiteral(s string) bool {
	for _, t := range strings.Split(s, ".") {
		if t == "" || t == "*" || t == ">" {
			return false
		}
	}
	return true
}

func modelMatches(literal, pattern string) bool {
	ls, ps := strings.Split(literal, "."), strings.Split(pattern, ".")
	for _, l := range ls {
		if l == "" {
			return false
		}
	}
	for i, p := range ps {
		if p == ">" && i == len(ps)-1 {
			return len(ls) > i
		}
		if i >= len(ls) || p != "*" && p != ls[i] {
			return false
		}
	}
	return len(ls) == len(ps)
}

// modelUniverse is enough subjects to tell apart patterns of up to 3 tokens over
// the alphabet of drawPattern: one token more, and one letter that no pattern has.
func modelUniverse() (all []string) {
	level := []string{""}
	for range 4 {
		var longer []string
		for _, s := range level {
			for _, t := range []string{"a", "b", "z"} {
				longer = append(longer, strings.TrimPrefix(s+"."+t, "."))
			}
		}
		level = longer
		all = append(all, level...)
	}
	return all
}

func drawPattern(t *rapid.T, label string) string {
	tokens := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "*"}), 0, 3).Draw(t, label)
	if len(tokens) == 0 || len(tokens) < 3 && rapid.Bool().Draw(t, label+" rest") {
		tokens = append(tokens, ">")
	}
	return strings.Join(tokens, ".")
}

// drawAny gives all kinds of subjects, most of them valid.
func drawAny(t *rapid.T, label string) string {
	tokens := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "a*", ">b", "*", "*", ">", "", "\xff"}), 0, 5).Draw(t, label)
	return strings.Join(tokens, ".")
}
