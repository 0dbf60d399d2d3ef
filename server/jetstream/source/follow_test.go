package source

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

func streamConfig() *api.StreamConfig {
	return &api.StreamConfig{Name: "D", MaxMsgs: -1, MaxBytes: -1, MaxMsgsPer: -1, MaxMsgSize: -1, MaxConsumers: -1, Replicas: 1}
}

// content is what a stream holds: a line a message.
func (w *world) content() []string {
	var list []string
	for seq := w.store.State().First; seq <= w.store.State().Last; seq++ {
		if m, found := w.store.Load(seq); found == 1 {
			list = append(list, fmt.Sprintf("%d %s %s", m.Seq, m.Subject, m.Data))
		}
	}
	return list
}

func TestMirrorCopies(t *testing.T) {
	cfg := streamConfig()
	cfg.Mirror = &api.StreamSource{Name: "O"}
	w := newWorld(t, 1, cfg)
	o := w.origin("O")
	for i := range 50 {
		o.publish(fmt.Sprint("a.", i%3), "", fmt.Sprint("m", i))
	}
	o.remove(7)
	w.run(2 * time.Second)
	require.Len(t, w.content(), 49)
	require.EqualValues(t, 50, w.store.State().Last)
	require.Equal(t, "8 a.1 m7", w.content()[6])
	m, _ := w.store.Load(8)
	require.Equal(t, o.msgs[8].time, m.Time)
	require.EqualValues(t, 0, w.set.Mirror().Lag)
	require.Equal(t, 1, w.caught)
	o.publish("a.9", "", "more")
	w.run(time.Second)
	require.EqualValues(t, 51, w.store.State().Last)
}
