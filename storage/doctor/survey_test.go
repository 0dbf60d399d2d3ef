package doctor

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/storage/wal"
)

func TestCatalogueFollowsItsEntries(t *testing.T) {
	f := &wal.Found{
		State: []byte(`{"next":5,"assets":{"A S":{"account":"A","group":2,"incarnation":1,"config":{"name":"S","storage":"file"}},
			"A T":{"account":"A","group":3,"incarnation":1,"config":{"name":"T"}}}}`),
		Entries: []wal.Entry{
			{Index: 7, Payload: []byte(`{"op":"delete","asset":{"account":"A","group":3,"incarnation":1,"config":{"name":"T"}}}`)},
			{Index: 8, Payload: []byte(`{"op":"create","asset":{"account":"A","group":4,"incarnation":1,"config":{"name":"M","storage":"memory"}}}`)},
			{Index: 9, Payload: []byte(`{"op":"update","asset":{"account":"A","group":2,"incarnation":1,"config":{"name":"S","storage":"file","subjects":["x"]}}}`)},
		},
	}
	list, err := catalogue(f)
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, "A > M", list[0].title())
	require.True(t, list[0].memory())
	require.Equal(t, "A > S", list[1].title())
	require.Equal(t, "streams/2-1", dirOf(list[1].id()))

	f.Entries = append(f.Entries, wal.Entry{Index: 10, Payload: []byte("??")})
	_, err = catalogue(f)
	require.ErrorContains(t, err, "entry 10 cannot be understood")
	_, err = catalogue(&wal.Found{State: []byte("{")})
	require.ErrorContains(t, err, "its state cannot be understood")
}

// Checksums are right of what is decoded here, but another version may have written it.
func FuzzSurvey(f *testing.F) {
	f.Add([]byte(`{"assets":{"A S":{"account":"A","group":2,"incarnation":1,"config":{"name":"S"}}}}`), []byte(`{"op":"delete","asset":{}}`))
	f.Add([]byte(`{"assets":{"x":null}}`), []byte(`{"op":"create","asset":{"account":"A","config":null}}`))
	f.Add(binary.AppendUvarint([]byte{streamStateVersion}, 3), []byte("abc"))
	f.Fuzz(func(t *testing.T, state, payload []byte) {
		found := &wal.Found{State: state, Entries: []wal.Entry{{Index: 1, Payload: payload}}}
		if list, err := catalogue(found); err == nil {
			for _, a := range list {
				require.NotEmpty(t, a.Config.Name)
			}
		}
		if m, err := manifestOf(found); err == nil && state != nil {
			require.LessOrEqual(t, len(m), len(state))
			identityOf(m)
		}
	})
}
