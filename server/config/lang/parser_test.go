package lang

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func parse(text string) (*Map, error) { return Parse(text, "c.conf", Source{}) }

func mustParse(t testing.TB, text string) map[string]any {
	t.Helper()
	m, err := parse(text)
	require.NoError(t, err, text)
	return m.Plain()
}

func TestValues(t *testing.T) {
	date := time.Date(2016, 5, 4, 18, 53, 41, 0, time.UTC)
	for _, tc := range []struct {
		name, text string
		want       any
	}{
		{"integer", "1", int64(1)},
		{"leading zero", "010", int64(10)},
		{"negative", "-12", int64(-12)},
		{"thousands", "5k", int64(5000)},
		{"kibibytes, short", "5ki", int64(5120)},
		{"kilobytes are powers of two", "5Kb", int64(5120)},
		{"exbibytes", "7eib", int64(7 << 60)},
		{"negative size", "-2m", int64(-2_000_000)},
		{"largest", "9223372036854775807", int64(9223372036854775807)},
		{"smallest", "-9223372036854775808", int64(-9223372036854775808)},
		{"float", "1.5", 1.5},
		{"negative float", "-0.25", -0.25},
		{"boolean", "oN", true},
		{"quoted boolean", `"on"`, "on"},
		{"boolean ended by a quote", "true'", "true"},
		{"boolean with an escape", `tru\x65`, "true"},
		{"date", "2016-05-04T18:53:41Z", date},
		{"duration", "10s", "10s"},
		{"minutes are millions", "5m", int64(5_000_000)},
		{"address", "127.0.0.1:4222", "127.0.0.1:4222"},
		{"port and word", "4222:foo", "4222:foo"},
		{"exponent is a word", "1e5", "1e5"},
		{"bcrypt", "$2a$11$abc.def", "$2a$11$abc.def"},
		{"comment sign inside a word", "foo#c", "foo#c"},
		{"escapes", `"\t\n\r\"\\\x41"`, "\t\n\r\"\\A"},
		{"raw", `'a\tb"'`, `a\tb"`},
		{"block", "(\n a\n  b )\n)", "\n a\n  b )\n"},
		{"integers right before the bracket", "[1,2]", []any{int64(1), int64(2)}},
		{"sizes right before the bracket", "[1k,-2kb]", []any{int64(1000), int64(-2048)}},
		{"newlines separate", "[1\n2 # c\n\"a\"\n]", []any{int64(1), int64(2), "a"}},
		{"trailing comma", "[a,]", []any{"a"}},
		{"nested", "[[1],{a:b}]", []any{[]any{int64(1)}, map[string]any{"a": "b"}}},
		{"map", "{a 1, b=c; d:[] }", map[string]any{"a": int64(1), "b": "c", "d": []any{}}},
		{"nothing", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.Equal(t, map[string]any{"x": tc.want}, mustParse(t, "x: "+tc.text))
		})
	}
}

func TestErrors(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"positive overflow", "x: 9223372036854775808", "integer '9223372036854775808' is out of the range"},
		{"overflow by suffix", "x: 10e", "integer '10e' is out of the range"},
		{"negative overflow", "x: -9223372036854775809", "integer '-9223372036854775809' is out of the range"},
		{"float overflow", "x: " + strings.Repeat("9", 400) + ".0", "float '" + strings.Repeat("9", 400) + ".0' is out of the range"},
		{"impossible date", "x: 2016-13-04T18:53:41Z", "expected Zulu formatted DateTime, but got '2016-13-04T18:53:41Z'"},
		{"letter in a date", "x: 2016-1a-04T18:53:41Z", "Parse error on line 1: 'Expected digit in ISO8601 datetime, but found 'a' instead.'"},
		{"include without a source", "include a", "includes are not available here"},
		{"variable without a source", "x: $Y", "variable reference for 'Y' on line 1 can not be found"},
		{"include at the end", "include ", "config is invalid (c.conf:1:8)"},
		{"include without a name", "include \nx: 1", "Parse error on line 2: 'Expected include value but found new line'"},
		{"open list in a map", "x: {a: [1", `Parse error on line 1: 'Expected an array value terminator "," or an array terminator "]", but got '` + "\x00" + `' instead.'`},
		{"open quoted include", "include 'a", "Parse error on line 1: 'Unexpected EOF.'"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := parse(tc.text)
			require.EqualError(t, err, tc.want)
		})
	}
}

func TestNestingIsBounded(t *testing.T) {
	for _, open := range []string{"[", "{a:"} {
		_, err := parse("x: " + strings.Repeat(open, 100_000))
		require.ErrorContains(t, err, "More than 1000 levels of nesting")
	}
	src := Source{Env: func(name string) (string, bool) {
		n, _ := strconv.Atoi(strings.TrimPrefix(name, "V"))
		return "$V" + strconv.Itoa(n+1), true
	}}
	_, err := Parse("x: $V0", "c.conf", src)
	require.ErrorContains(t, err, "More than 1000 levels of nesting")
}

func TestVariablesDoNotExplode(t *testing.T) {
	text := "a0: [1]\n"
	for i := range 60 {
		text += fmt.Sprintf("a%d: [$a%d, $a%d]\n", i+1, i, i)
	}
	_, err := parse(text)
	require.EqualError(t, err, "Parse error on line 20: 'More than 1048576 values in one'")
}

func TestPositions(t *testing.T) {
	m, err := parse("a: 1\n  b: [x, {c: 2}\n]\n\"d\": 'e'\nf: \"1\n2\"\ng: 3")
	require.NoError(t, err)
	at := func(v *Value) string { return v.Pos.String() }
	require.Equal(t, "c.conf:1:0", at(m.Get("a")))
	require.Equal(t, "c.conf:2:3", at(m.Get("b")))
	list := m.Get("b").Data.([]*Value)
	require.Equal(t, "c.conf:2:7", at(list[0]))
	require.Equal(t, "c.conf:2:16", at(list[1]), "behind the map")
	require.Equal(t, "c.conf:2:11", at(list[1].Data.(*Map).Get("c")))
	require.Equal(t, "c.conf:4:2", at(m.Get("d")), "behind the quote")
	require.Equal(t, "c.conf:7:1", at(m.Get("g")))
}

func TestVariables(t *testing.T) {
	env := map[string]string{"HOST": "a.b", "MAP": "{x: 1, y: $HOST}", "EMPTY": ""}
	src := Source{Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}
	m, err := Parse("HOST: outer\na {HOST: inner, h: $HOST}\nb: $HOST\nc: $MAP\nd: [$b]\ne: $EMPTY", "c.conf", src)
	require.NoError(t, err)
	require.Equal(t, map[string]any{
		"HOST": "outer", "a": map[string]any{"HOST": "inner", "h": "inner"}, "b": "outer",
		"c": map[string]any{"x": int64(1), "y": "a.b"}, "d": []any{"outer"}, "e": "",
	}, m.Plain())
	require.True(t, m.Get("HOST").Used)
	require.True(t, m.Get("b").Used)
	require.False(t, m.Get("d").Used)
}

func TestIncludes(t *testing.T) {
	files := map[string]string{
		"dir/a.conf":       "x: 1\ninclude sub/b.conf\n",
		"dir/sub/b.conf":   "y: $ENV\ninclude '../c.conf'",
		"dir/c.conf":       "z: 2",
		"dir/loop.conf":    "include loop.conf",
		"dir/outer.conf":   "v: 1\ninclude inner.conf",
		"dir/inner.conf":   "w: $v",
		"dir/abs/dir.conf": "q: 1",
	}
	src := Source{
		Read: func(path string) (string, error) {
			if text, ok := files[path]; ok {
				return text, nil
			}
			return "", errors.New("open " + path + ": no such file or directory")
		},
		Env: func(string) (string, bool) { return "e", true },
	}
	m, err := Parse("m { include a.conf }\nn: $y\n", "dir/main.conf", src)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"m": map[string]any{"x": int64(1), "y": "e", "z": int64(2)}, "n": "e"}, m.Plain())
	require.Equal(t, "dir/sub/b.conf:1:0", m.Get("m").Data.(*Map).Get("y").Pos.String())

	for text, want := range map[string]string{
		"include loop.conf":      "error parsing include file 'loop.conf', error parsing include file 'loop.conf', it includes itself",
		"include nope.conf":      "error parsing include file 'nope.conf', open dir/nope.conf: no such file or directory",
		"include /dir/abs.conf":  "error parsing include file '/dir/abs.conf', open dir/dir/abs.conf: no such file or directory",
		"a: 1\ninclude self.txt": "error parsing include file 'self.txt', it includes itself",
	} {
		_, err := Parse(text, "dir/self.txt", src)
		require.EqualError(t, err, want)
	}
	src.Env = nil
	_, err = Parse("include outer.conf", "dir/self.txt", src)
	require.EqualError(t, err, "error parsing include file 'outer.conf', error parsing include file 'inner.conf', "+
		"variable reference for 'v' on line 1 can not be found", "an included file does not see its parent")
}

func TestDigest(t *testing.T) {
	digest := func(text string) string {
		m, err := parse(text)
		require.NoError(t, err)
		d, err := m.Digest()
		require.NoError(t, err)
		return d
	}
	require.Equal(t, "sha256:5b27b68e52c25859a76c94f378c31d5a499ca677a46b38fb5f58ded229b59650", digest("port: 1"))
	require.Equal(t, digest("a: 1, b: {c: d}"), digest("# x\nb {\n c = \"d\"\n}\n\n\"a\"  1"), "layout does not count")
	require.NotEqual(t, digest("a: 1"), digest("a: '1'"))
	require.Equal(t, digest("a: 1\na: 2"), digest("a: 2"), "the last one wins")
}

func TestTypeNames(t *testing.T) {
	m, err := parse("s: a, i: 1, f: 1.5, b: on, l: [], m {}\nt: 2016-05-04T18:53:41Z")
	require.NoError(t, err)
	got := make(map[string]string)
	for _, p := range m.Pairs() {
		got[p.Key] = p.Value.TypeName()
	}
	require.Equal(t, map[string]string{
		"s": "string", "i": "int64", "f": "float64", "b": "bool", "l": "[]interface {}", "m": "map[string]interface {}",
		"t": "time.Time",
	}, got)
}

// tree draws a value and a way to write it.
func tree(t *rapid.T, depth int) (any, string) {
	kinds := 5
	if depth > 0 {
		kinds = 7
	}
	gap := rapid.SampledFrom([]string{"", " ", "\n", " # c\n", "\t// d\n"}).Draw(t, "gap")
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		n := rapid.Int64().Draw(t, "int")
		return n, strconv.FormatInt(n, 10)
	case 1:
		n := rapid.Int64Range(-1000, 1000).Draw(t, "sized")
		return n * 1024, fmt.Sprintf("%dKiB", n)
	case 2:
		b := rapid.Bool().Draw(t, "bool")
		return b, map[bool]string{true: "yes", false: "Off"}[b]
	case 3:
		f := float64(rapid.IntRange(-4000, 4000).Draw(t, "quarters")) / 4
		return f, strconv.FormatFloat(f, 'f', 2, 64)
	case 4:
		s := rapid.StringMatching(`[a-z \n\t"'\\#/{}\[\],;:=$é]*`).Draw(t, "string")
		return s, quoted(s)
	case 5:
		list, text := []any{}, "["+gap
		for range rapid.IntRange(0, 3).Draw(t, "items") {
			v, written := tree(t, depth-1)
			list = append(list, v)
			text += written + rapid.SampledFrom([]string{",", " ,", "\n", ",\n\n"}).Draw(t, "separator") + gap
		}
		return list, text + "]"
	default:
		m, text := pairs(t, depth-1)
		return m, "{" + gap + text + "}"
	}
}

func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`, "c", `\x63`).Replace(s) + `"`
}

func pairs(t *rapid.T, depth int) (map[string]any, string) {
	m, text := map[string]any{}, ""
	for range rapid.IntRange(0, 4).Draw(t, "pairs") {
		key := rapid.SampledFrom([]string{"a", "b", "C", "d.e", "f_g"}).Draw(t, "key")
		v, written := tree(t, depth)
		m[key] = v
		if rapid.Bool().Draw(t, "quoted") {
			key = `"` + key + `"`
		}
		text += key + rapid.SampledFrom([]string{": ", "=", " = ", " "}).Draw(t, "assign") + written +
			rapid.SampledFrom([]string{"\n", " ;", ", ", " # c\n"}).Draw(t, "end")
	}
	return m, text
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want, text := pairs(t, 3)
		if rapid.Bool().Draw(t, "braces") {
			text = "{\n" + text + "\n}"
		}
		m, err := parse(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		require.Equal(t, want, m.Plain(), text)
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"port: 1", "a { b: [1,2], c 'd' }", "x: $Y\ny: $x", "(\n)\n", "x: (\n)\n)", "{a: 1k", "a: -1.5.2", `"\x4`, "include a",
		"x: 2016-05-04T18:53:41Z", "a: {b}\n}", "\xff: \xfe", "x: \x00",
	} {
		f.Add(seed)
	}
	src := Source{
		Read: func(path string) (string, error) { return "included: " + strconv.Itoa(len(path)), nil },
		Env:  func(name string) (string, bool) { return "$" + name + "x", len(name)%2 == 0 },
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := Parse(text, "c.conf", src)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		again, err := Parse(text, "c.conf", src)
		require.NoError(t, err)
		require.Equal(t, m.Plain(), again.Plain())
		for _, p := range m.Pairs() {
			require.Same(t, p.Value, m.Get(p.Key))
		}
		_, err = m.Digest()
		require.NoError(t, err)
	})
}

func BenchmarkParse(b *testing.B) {
	for _, users := range []int{10, 1000} {
		b.Run(fmt.Sprintf("users=%d", users), func(b *testing.B) {
			text := "authorization { users [\n" +
				strings.Repeat("  {user: \"alice\", password: $2a$11$abcdefghijk, permissions: {publish: [a, \"b.>\"], subscribe: c}}\n", users) + "]}"
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := parse(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
