package integration

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

func TestKeyValue(t *testing.T) {
	t.Parallel()
	p := startJS(t)
	js, _ := p.js()
	ctx := within(t)
	kv, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "B", History: 5})
	require.NoError(t, err)
	rev, err := kv.Create(ctx, "a", []byte("1"))
	require.NoError(t, err)
	require.EqualValues(t, 1, rev)
	_, err = kv.Create(ctx, "a", []byte("x"))
	require.ErrorIs(t, err, jetstream.ErrKeyExists)
	rev, err = kv.Update(ctx, "a", []byte("2"), 1)
	require.NoError(t, err)
	_, err = kv.Update(ctx, "a", []byte("x"), 1)
	require.ErrorIs(t, err, jetstream.ErrKeyExists, "the revision is old")
	_, err = kv.PutString(ctx, "b", "3")
	require.NoError(t, err)
	require.NoError(t, kv.Delete(ctx, "b"))
	_, err = kv.Get(ctx, "b")
	require.ErrorIs(t, err, jetstream.ErrKeyNotFound)
	require.Error(t, kv.Delete(ctx, "a", jetstream.LastRevision(1)))
	_, err = kv.Create(ctx, "b", []byte("4"))
	require.NoError(t, err, "a deleted key can be created")

	js, _ = p.restart(syscall.SIGKILL).js()
	kv, err = js.KeyValue(ctx, "B")
	require.NoError(t, err)
	e, err := kv.Get(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, "2", string(e.Value()))
	require.Equal(t, rev, e.Revision())
	e, err = kv.GetRevision(ctx, "a", 1)
	require.NoError(t, err)
	require.Equal(t, "1", string(e.Value()))
	history, err := kv.History(ctx, "b")
	require.NoError(t, err)
	var did []string
	for _, h := range history {
		did = append(did, h.Operation().String()+string(h.Value()))
	}
	require.Equal(t, []string{"KeyValuePutOp3", "KeyValueDeleteOp", "KeyValuePutOp4"}, did)
	require.NoError(t, kv.Purge(ctx, "b"))
	history, err = kv.History(ctx, "b")
	require.NoError(t, err)
	require.Len(t, history, 1)
	keys, err := kv.Keys(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, keys)
	require.NoError(t, kv.PurgeDeletes(ctx, jetstream.DeleteMarkersOlderThan(-1)))
	status, err := kv.Status(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 2, status.Values())
	require.EqualValues(t, 5, status.History())
	require.NoError(t, js.DeleteKeyValue(ctx, "B"))
	_, err = js.KeyValue(ctx, "B")
	require.ErrorIs(t, err, jetstream.ErrBucketNotFound)
}

func TestKeyValueWatchers(t *testing.T) {
	t.Parallel()
	js, _ := startJS(t).js()
	ctx := within(t)
	kv, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "W", History: 10, Storage: jetstream.MemoryStorage})
	require.NoError(t, err)
	for i := range 3 {
		_, err = kv.PutString(ctx, "x.a", fmt.Sprint(i))
		require.NoError(t, err)
		_, err = kv.PutString(ctx, "y.b", fmt.Sprint(i))
		require.NoError(t, err)
	}
	see := func(w jetstream.KeyWatcher, n int) []string {
		t.Helper()
		var seen []string
		for len(seen) < n {
			select {
			case e := <-w.Updates():
				if e == nil {
					seen = append(seen, "now")
				} else {
					seen = append(seen, e.Key()+"="+string(e.Value()))
				}
			case <-ctx.Done():
				require.Fail(t, "an update did not come", "%v", seen)
			}
		}
		return seen
	}
	latest, err := kv.WatchAll(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"x.a=2", "y.b=2", "now"}, see(latest, 3))
	all, err := kv.Watch(ctx, "x.*", jetstream.IncludeHistory())
	require.NoError(t, err)
	require.Equal(t, []string{"x.a=0", "x.a=1", "x.a=2", "now"}, see(all, 4))
	updates, err := kv.Watch(ctx, "x.>", jetstream.UpdatesOnly())
	require.NoError(t, err)
	resumed, err := kv.WatchAll(ctx, jetstream.ResumeFromRevision(5), jetstream.IncludeHistory())
	require.NoError(t, err)
	require.Equal(t, []string{"x.a=2", "y.b=2", "now"}, see(resumed, 3))
	_, err = kv.PutString(ctx, "x.new", "v")
	require.NoError(t, err)
	for _, w := range []jetstream.KeyWatcher{latest, all, updates, resumed} {
		require.Equal(t, []string{"x.new=v"}, see(w, 1))
		require.NoError(t, w.Stop())
	}
}

func TestKeyTTLAndLimitMarkers(t *testing.T) {
	t.Parallel()
	js, _ := startJS(t).js()
	ctx := within(t)
	kv, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "T", LimitMarkerTTL: time.Second})
	require.NoError(t, err)
	_, err = kv.Create(ctx, "short", []byte("x"), jetstream.KeyTTL(time.Second))
	require.NoError(t, err)
	_, err = kv.PutString(ctx, "long", "x")
	require.NoError(t, err)
	w, err := kv.Watch(ctx, "short", jetstream.UpdatesOnly())
	require.NoError(t, err)
	select {
	case e := <-w.Updates():
		require.Equal(t, jetstream.KeyValuePurge, e.Operation(), "a marker tells of the end")
	case <-ctx.Done():
		require.Fail(t, "no marker came")
	}
	_, err = kv.Get(ctx, "short")
	require.ErrorIs(t, err, jetstream.ErrKeyNotFound)
	_, err = kv.Create(ctx, "short", []byte("again"))
	require.NoError(t, err)
	require.NoError(t, kv.Purge(ctx, "long", jetstream.PurgeTTL(time.Second)))
	require.Eventually(t, func() bool {
		status, err := kv.Status(ctx)
		return err == nil && status.Values() == 1
	}, patience, tick, "the marker of the purge goes, too")
	old, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "OLD", TTL: 100 * time.Millisecond})
	require.NoError(t, err)
	_, err = old.PutString(ctx, "k", "v")
	require.NoError(t, err)
	require.Eventually(t, func() bool { _, err := old.Get(ctx, "k"); return err != nil }, patience, tick)
}

func TestMirrorBuckets(t *testing.T) {
	t.Parallel()
	js, _ := startJS(t).js()
	ctx := within(t)
	kv, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "K"})
	require.NoError(t, err)
	_, err = kv.PutString(ctx, "a", "1")
	require.NoError(t, err)
	mirror, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "M", Mirror: &jetstream.StreamSource{Name: "K"}})
	require.NoError(t, err)
	copied, err := js.Stream(ctx, "KV_M")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		m, err := copied.GetLastMsgForSubject(ctx, "$KV.K.a")
		return err == nil && string(m.Data) == "1"
	}, patience, tick)
	_, err = mirror.PutString(ctx, "b", "2") // goes to the origin, and back
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		e, err := kv.Get(ctx, "b") // which a mirror may answer
		return err == nil && string(e.Value()) == "2"
	}, patience, tick)
	both, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "S", Sources: []*jetstream.StreamSource{{Name: "K"}}})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		keys, err := both.Keys(ctx)
		slices.Sort(keys)
		return err == nil && slices.Equal(keys, []string{"a", "b"})
	}, patience, tick)
}

func TestLegacyKeyValue(t *testing.T) {
	t.Parallel()
	nc := startJS(t).client()
	js, err := nc.JetStream(nats.MaxWait(patience))
	require.NoError(t, err)
	kv, err := js.CreateKeyValue(&nats.KeyValueConfig{Bucket: "L", History: 3})
	require.NoError(t, err)
	rev, err := kv.Create("k", []byte("1"))
	require.NoError(t, err)
	_, err = kv.Update("k", []byte("2"), rev)
	require.NoError(t, err)
	_, err = kv.Update("k", []byte("3"), rev)
	require.Error(t, err)
	e, err := kv.Get("k")
	require.NoError(t, err)
	require.Equal(t, "2", string(e.Value()))
	history, err := kv.History("k")
	require.NoError(t, err)
	require.Len(t, history, 2)
	require.NoError(t, kv.Purge("k"))
	_, err = kv.Keys()
	require.ErrorIs(t, err, nats.ErrNoKeysFound)
}
