package subject

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestTransform(t *testing.T) {
	for _, tc := range []struct{ source, dest, subject, want string }{
		{"a.*", "b.$1", "a.x", "b.x"},
		{"a.*.*", "b.$2.$1", "a.x.y", "b.y.x"},
		{"a.*", "b.$1.$1", "a.x", "b.x.x"},
		{"a.*", "$1.b", "a.x", "x.b"},
		{"a.*", "b", "a.x", "b"},
		{"a.*", "b.$0", "a.x", "b.a"},
		{"a.*", "b.{{wildcard(0)}}", "a.x", "b.a"},
		{"a.*", "b.{{wildcard(-1)}}.$-1", "a.x", "b.a.a"},
		{"a.*", "b.{{wildcard(+1)}}.$01", "a.x", "b.x.x"},
		{"a.*", "b.{{ wildcard ( 1 ) }}.{{Wildcard(1)}}", "a.x", "b.x.x"},
		{"a.*", "b.$x", "a.x", "b.$x"},
		{"a.*", "b.$", "a.x", "b.$"},
		{"a.*", "b.$1x.x$1", "a.x", "b.$1x.x$1"},
		{"a.*", "b.$99999999999999999999", "a.x", "b.$99999999999999999999"},
		{"a.*", "b.{{}}", "a.x", "b.{{}}"},
		{"a.*", "b.{{wildcard(1)}}x", "a.x", "b.{{wildcard(1)}}x"},
		{"a.*", "b.{{wildcard(1)", "a.x", "b.{{wildcard(1)"},
		{"a.*", "b.{{split(1,a.b)}}", "a.x", "b.{{split(1,a.b)}}"},
		{"a.*", "b.>x.*y", "a.x", "b.>x.*y"},
		{"a.*", "b.{{split(1,-)}}", "a.-a--b-", "b.a.b"},
		{"a.*", "b.{{split(1,-)}}.z", "a.a--b-", "b.a.b.z"},
		{"a.*", "b.{{split(1,-)}}.z", "a.---", "b..z"},
		{"a.*", "b.{{split(1,--)}}", "a.a---b----c", "b.a.-b.c"},
		{"a.*", "b.{{split(1,)}}", "a.-x-y", "b.-.x.-.y"},
		{"a.*", "b.{{split(1, )}}", "a.x\u00e9y", "b.x.\u00e9.y"},
		{"a.*", "b.{{split(1,ab)}}", "a.xabyab", "b.x.y"},
		{"a.*", "b.{{split(1,*)}}", "a.x*y", "b.x.y"},
		{"a.*", "b.{{split(0,-)}}", "a.x", "b.a"},
		{"a.*", "b.{{splitFromLeft(1,3)}}", "a.12345", "b.123.45"},
		{"a.*", "b.{{splitfromright(1,3)}}", "a.12345", "b.12.345"},
		{"a.*", "b.{{SplitFromLeft(1,-1)}}", "a.12345", "b.12345"},
		{"a.*", "b.{{SplitfromLeft(1,0)}}", "a.12345", "b.12345"},
		{"a.*", "b.{{splitfromleft(1,5)}}", "a.12345", "b.12345"},
		{"a.*", "b.{{slicefromleft(1,3)}}", "a.1234567890", "b.123.456.789.0"},
		{"a.*", "b.{{slicefromright(1,3)}}", "a.1234567890", "b.1.234.567.890"},
		{"a.*", "b.{{slicefromleft(1,5)}}", "a.1234567890", "b.12345.67890"},
		{"a.*", "b.{{slicefromright(1,5)}}", "a.1234567890", "b.12345.67890"},
		{"a.*", "b.{{SliceFromRight(1,10)}}", "a.1234567890", "b.1234567890"},
		{"a.*", "b.{{slicefromleft(1,-2)}}", "a.12345", "b.12345"},
		{"a.*", "b.{{slicefromright(1,1)}}.x", "a.123", "b.1.2.3.x"},
		{"a.*", "b.{{left(1,3)}}", "a.12345", "b.123"},
		{"a.*", "b.{{right(1,3)}}", "a.12345", "b.345"},
		{"a.*", "b.{{left(1,0)}}", "a.12345", "b.12345"},
		{"a.*", "b.{{left(1,-3)}}", "a.12345", "b.12345"},
		{"a.*", "b.{{right(1,9)}}", "a.12345", "b.12345"},
		{"a67.*", "b.{{right(0,2)}}", "a67.12345", "b.67"},
		{"a.*", "b.{{partition(10,1)}}", "a.bob", "b.4"},
		{"a.*", "b.{{partition(0,1)}}", "a.bob", "b.0"},
		{"a.*", "b.{{ partition( 1000000 , 1 ) }}", "a.bob", "b.164244"},
		{"a60.*", "b.{{partition(1000000)}}", "a60.bob", "b.818071"},
		{"a36.*.*", "b.{{partition(10,1,2)}}", "a36.foo.bar", "b.0"},
		{"a37.*.*", "b.{{partition(10,2,1)}}", "a37.foo.bar", "b.2"},
		{"a43.*", "b.{{partition(10,0)}}", "a43.bob", "b.7"},
		{"a62.>", "b.{{partition(1000)}}.>", "a62.x.y", "b.607.x.y"},
		{"a65.>", "b.{{partition(1000,0)}}.>", "a65.x.y", "b.281.x.y"},
		{"a14.*", "b.{{partition(-1)}}", "a14.x", "b.1166970247"},
		{"a.*", "b.{{partition(-2147483648,1)}}", "a.bob", "b.113680596"},
		{"a.*", "b.{{partition(-3000000000,1)}}", "a.bob", "b.966196948"},
		{"a38", "b.{{partition(10)}}", "a38", "b.1"},
		{"a48", "b.{{partition(5,1)}}", "a48", "b.3"},
		{"a96.*", "b.{{partition(5,1)}}.{{partition(7)}}.{{split(1,-)}}", "a96.x-y", "b.1.5.x.y"},
		{"a.*", "b.{{random(1)}}", "a.x", "b.0"},
		{"a", "b.{{random(0)}}", "a", "b.0"},
		{"a.*.>", "b.$1.>", "a.x.y.z", "b.x.y.z"},
		{"a.>", "b.>", "a.x", "b.x"},
		{"", "b.>", "a.x", "b.a.x"},
		{"a.*", "", "a.x", "a.x"},
		{"a.*", "b.$1", "a.*", "b.*"},
		{"a.>", "b.>", "a.>", "b.>"},
		{"a.>", "b.>", "a.x.>", "b.x.>"},
	} {
		x, err := NewTransform(tc.source, tc.dest)
		require.NoError(t, err, "%q %q", tc.source, tc.dest)
		got, ok := x.Apply(tc.subject, nil)
		require.True(t, ok, "%q %q", tc.source, tc.dest)
		require.Equal(t, tc.want, got, "%q %q", tc.source, tc.dest)
		require.Equal(t, tc.dest, x.Destination())
	}
}

func TestTransformLeavesWhatItsSourceDoesNotMatch(t *testing.T) {
	x, err := NewTransform("a.*", "b.$1")
	require.NoError(t, err)
	for _, s := range []string{"a", "a.x.y", "b.x", "a.", "a..x", "a.>", ""} {
		_, ok := x.Apply(s, nil)
		require.False(t, ok, s)
	}
}

func TestTransformErrors(t *testing.T) {
	const bad = "invalid mapping destination: "
	for _, tc := range []struct{ source, dest, want string }{
		{"a..b", "c", "invalid subject"},
		{"a b", "c", "invalid subject"},
		{"a", "b.*", "invalid subject"},
		{"a.*", "b.*.$2", "invalid subject"},
		{"a.*", "*", "invalid subject"},
		{"a.*", "b.>", "invalid subject"},
		{"a.>", "b", "invalid subject"},
		{"a.>", "b.$2", "invalid subject"},
		{"a.>", "b.>.x", bad + "invalid transform in x"},
		{"a.>", "b.>.>", bad + "invalid transform in >"},
		{"a.*.>", "b.{{left(3,2)}}.>.x", bad + "invalid transform in x"},
		{"a", "b..c", bad + "invalid transform"},
		{"a", "b c", bad + "invalid transform"},
		{"a", "b.\t$1", bad + "invalid transform"},
		{"a.*", "b.{{wildcard(1)}} ", bad + "invalid transform"},
		{"a.*", "b.$2", bad + "wildcard index out of range in $2: [2]"},
		{"a.*", "b.{{wildcard(2)}}", bad + "wildcard index out of range in {{wildcard(2)}}: [2]"},
		{"a.*.*", "b.{{partition(10,1,2,3)}}", bad + "wildcard index out of range in {{partition(10,1,2,3)}}: [3]"},
		{"a.*", "b.{{split(3,-)}}", bad + "wildcard index out of range in {{split(3,-)}}: [3]"},
		{"a.>", "b.{{wildcard(1)}}.>", bad + "wildcard index out of range in {{wildcard(1)}}: [1]"},
		{"a.*", "b.{{wildcard(3000000000)}}", bad + "wildcard index out of range in {{wildcard(3000000000)}}: [3000000000]"},
		{"a", "b.$1", bad + "wildcard index out of range in $1"},
		{"a", "b.$0", bad + "wildcard index out of range in $0"},
		{"a", "b.{{split(1,-)}}", bad + "wildcard index out of range in {{split(1,-)}}"},
		{"a", "b.{{left(0,3)}}", bad + "wildcard index out of range in {{left(0,3)}}"},
		{"a.*", "b.{{nofn(1)}}.*", bad + "unknown function in {{nofn(1)}}"},
		{"a.*", "b.$2.{{nofn(1)}}", bad + "unknown function in {{nofn(1)}}"},
		{"a.*", "b.{{nofn(1)}}..x", bad + "unknown function in {{nofn(1)}}"},
		{"a.*", "b.{{wildcard 1}}", bad + "unknown function in {{wildcard 1}}"},
		{"a.*", "b.{{wildcard(1}}", bad + "unknown function in {{wildcard(1}}"},
		{"a.*", "b.{{ }}", bad + "unknown function in {{ }}"},
		{"a.*", "b.{{(1)}}", bad + "unknown function in {{(1)}}"},
		{"a.*", "b.{{LEFT(1,2)}}", bad + "unknown function in {{LEFT(1,2)}}"},
		{"a.*", "b.{{wildCard(1)}}", bad + "unknown function in {{wildCard(1)}}"},
		{"a.*", "b.{{split_from_left(1,2)}}", bad + "unknown function in {{split_from_left(1,2)}}"},
		{"a.*", "b.{{wildcard()}}", bad + "not enough arguments passed to the function in {{wildcard()}}"},
		{"a.*", "b.{{split(1)}}", bad + "not enough arguments passed to the function in {{split(1)}}"},
		{"a.*", "b.{{left(a)}}", bad + "not enough arguments passed to the function in {{left(a)}}"},
		{"a.*", "b.{{random(1,2)}}", bad + "not enough arguments passed to the function in {{random(1,2)}}"},
		{"a.*", "b.{{wildcard(1,)}}", bad + "too many arguments passed to the function in {{wildcard(1,)}}"},
		{"a.*", "b.{{split(1,-,3)}}", bad + "too many arguments passed to the function in {{split(1,-,3)}}"},
		{"a.*", "b.{{splitfromleft(1,2,3)}}", bad + "too many arguments passed to the function in {{splitfromleft(1,2,3)}}"},
		{"a.*", "b.{{wildcard(a)}}", bad + "function argument is invalid or in the wrong format in {{wildcard(a)}}"},
		{"a.*", "b.{{wildcard(1))}}", bad + "function argument is invalid or in the wrong format in {{wildcard(1))}}"},
		{"a.*", "b.{{wildcard(1_0)}}", bad + "function argument is invalid or in the wrong format in {{wildcard(1_0)}}"},
		{"a.*", "b.{{split(1,a b)}}", bad + "function argument is invalid or in the wrong format in {{split(1,a b)}}"},
		{"a.*", "b.{{split(,)}}", bad + "function argument is invalid or in the wrong format in {{split(,)}}"},
		{"a.*", "b.{{splitfromleft(1,2147483648)}}", bad + "function argument is invalid or in the wrong format in {{splitfromleft(1,2147483648)}}"},
		{"a.*", "b.{{random()}}", bad + "function argument is invalid or in the wrong format in {{random()}}"},
		{"a.*", "b.{{random(2147483648)}}", bad + "function argument is invalid or in the wrong format in {{random(2147483648)}}"},
		{"a", "b.{{partition()}}", bad + "function argument is invalid or in the wrong format in {{partition()}}"},
		{"a.*", "b.{{partition(10,)}}", bad + "function argument is invalid or in the wrong format in {{partition(10,)}}"},
		{"a.*", "b.{{partition(99999999999)}}", bad + "function argument is invalid or in the wrong format in {{partition(99999999999)}}"},
	} {
		_, err := NewTransform(tc.source, tc.dest)
		require.EqualError(t, err, tc.want, "%q %q", tc.source, tc.dest)
		var at *DestinationError
		require.Equal(t, strings.HasPrefix(tc.want, bad), errors.As(err, &at))
	}
}

func TestImportTransform(t *testing.T) {
	for _, tc := range []struct{ source, dest, subject, want string }{
		{"a.*", "b.$1", "a.x", "b.x"},
		{"a.*", "b.*", "a.x", "b.x"},
		{"a.*.*", "b.$2.{{wildcard(1)}}", "a.x.y", "b.y.x"},
		{"a.*.*", "b.*.*", "a.x.y", "b.x.y"},
		{"a.*", "b.*.$1", "a.x", "b.x.x"},
		{"a.*.>", "b.$1.>", "a.x.y", "b.x.y"},
		{"a.>", "b.>", "a.x", "b.x"},
		{"a", "b", "a", "b"},
		{"a", "b.$1", "a", "b.$1"},
	} {
		x, err := NewImportTransform(tc.source, tc.dest)
		require.NoError(t, err)
		got, ok := x.Apply(tc.subject, nil)
		require.True(t, ok)
		require.Equal(t, tc.want, got)
		back, err := x.Reverse()
		require.NoError(t, err)
		again, ok := back.Apply(got, nil)
		require.True(t, ok, "%q", back.Source())
		require.Equal(t, tc.subject, again, "%q to %q", back.Source(), back.Destination())
	}
	const bad = "invalid mapping destination: "
	for _, tc := range []struct{ source, dest, want string }{
		{"a.*", "b", bad + "not using all of the token wildcard(s) in b"},
		{"a.*", "b.x*", bad + "not using all of the token wildcard(s) in b.x*"},
		{"a.*.*", "b.*.x", bad + "not using all of the token wildcard(s) in b.$1.x"},
		{"a.*.>", "b.>", bad + "not using all of the token wildcard(s) in b.>"},
		{"a.*.*", "b.*.$5", bad + "wildcard index out of range in $5: [5]"},
		{"a.*", "*.*.b", bad + "wildcard index out of range in $2: [2]"},
		{"a.*", "b.{{partition(3,1)}}", bad + "the only mapping function allowed for import transforms is {{Wildcard()}} in {{partition(3,1)}}"},
		{"a.*", "b.{{nofn(1)}}", bad + "unknown function in {{nofn(1)}}"},
		{"a.*", "b.{{partition(3,1)}}..x", "invalid subject"},
		{"a.*", "b.>", "invalid subject"},
		{"a.>", "b", "invalid subject"},
		{"a..b", "b", "invalid subject"},
	} {
		_, err := NewImportTransform(tc.source, tc.dest)
		require.EqualError(t, err, tc.want)
	}
}

func TestReverseOfUnevenTransforms(t *testing.T) {
	for _, tc := range []struct{ source, dest, wantSource, wantDest string }{
		{"a.*.*", "b.$1.$1", "b.*.*", "a.$1.$2"},
		{"a.*.*", "b.$2.$2", "b.*.*", "a.$1.$1"},
		{"a.$1.*", "b.*", "b.*", "a.$1.$1"},
	} {
		x, err := NewImportTransform(tc.source, tc.dest)
		require.NoError(t, err)
		back, err := x.Reverse()
		require.NoError(t, err)
		require.Equal(t, tc.wantSource, back.Source())
		require.Equal(t, tc.wantDest, back.Destination())
	}
	x, err := NewTransform("a.*", "b.{{left(1,2)}}")
	require.NoError(t, err)
	_, err = x.Reverse()
	require.ErrorIs(t, err, ErrFunctionForImport)
}

func TestReverseUndoesImports(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "*", "*"}), 1, 5).Draw(t, "source")
		n := 0
		for _, token := range source {
			if token == "*" {
				n++
			}
		}
		dest := []string{"b"}
		if n > 0 {
			order := rapid.Permutation([]string{"$1", "$2", "$3", "$4", "$5"}[:n]).Draw(t, "order")
			dest = append(dest, order...)
		}
		subject := make([]string, len(source))
		for i, token := range source {
			if subject[i] = token; token == "*" {
				subject[i] = rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "token")
			}
		}
		x, err := NewImportTransform(strings.Join(source, "."), strings.Join(dest, "."))
		require.NoError(t, err)
		there, ok := x.Apply(strings.Join(subject, "."), nil)
		require.True(t, ok)
		back, err := x.Reverse()
		require.NoError(t, err)
		again, ok := back.Apply(there, nil)
		require.True(t, ok)
		require.Equal(t, strings.Join(subject, "."), again)
	})
}

func TestRandomStaysInRange(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, tc := range []struct {
		dest string
		want string
	}{
		{"{{random(3)}}", "012"},
		{"{{random(-5)}}", "01234"},
		{"{{random(1)}}", "0"},
	} {
		x, err := NewTransform("a.*", tc.dest)
		require.NoError(t, err)
		seen := map[string]bool{}
		for range 200 {
			got, _ := x.Apply("a.x", r)
			require.Contains(t, tc.want, got)
			seen[got] = true
		}
		require.Len(t, seen, len(tc.want))
	}
}

func TestTransformAllocatesNothing(t *testing.T) {
	x, err := NewTransform("a.*.*.>", "b.$2.{{partition(10,1)}}.{{split(1,-)}}.{{slicefromright(2,2)}}.{{random(9)}}.>")
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(1, 2))
	subject, dst := []byte("a.x-y.12345.c.d"), make([]byte, 0, 100)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		out, ok := x.AppendTo(dst, subject, r)
		if !ok || len(out) < len("b.12345.0.x.y.1.23.45.0.c.d") {
			t.Fail()
		}
	}))
}

func FuzzTransform(f *testing.F) {
	f.Add("a.*", "b.$1", "a.x")
	f.Add("a.*.>", "b.{{split(1,-)}}.>", "a.-x-.y")
	f.Add("a.*", "{{slicefromright(1,3)}}.{{partition(-5,1,0)}}", "a.12345")
	f.Add("a", "{{random(3)}}.{{ partition(3) }}", "a")
	r := rand.New(rand.NewPCG(1, 2))
	f.Fuzz(func(t *testing.T, source, dest, subject string) {
		for _, make := range []func(string, string) (*Transform, error){NewTransform, NewImportTransform} {
			x, err := make(source, dest)
			if err != nil {
				require.Nil(t, x)
				continue
			}
			got, ok := x.Apply(subject, r)
			require.Equal(t, SubsetOf(subject, x.Source()), ok)
			// Cutting a token into pieces at most adds a separator a byte.
			require.LessOrEqual(t, len(got), (len(dest)+1)*(2*len(subject)+12))
			if back, err := x.Reverse(); err == nil && ok {
				_, ok := back.Apply(got, r)
				require.True(t, ok, "%q is not matched by %q", got, back.Source())
			}
		}
	})
}
