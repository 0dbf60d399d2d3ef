package integration

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// noise is the same bytes every time, which compress badly.
func noise(n int) []byte {
	var seed [32]byte
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(seed).Read(b)
	return b
}

func TestObjectStore(t *testing.T) {
	t.Parallel()
	p := startJS(t)
	js, _ := p.js()
	ctx := within(t)
	store, err := js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: "O"})
	require.NoError(t, err)
	content := noise(10 << 20)
	put, err := store.Put(ctx, jetstream.ObjectMeta{Name: "big"}, bytes.NewReader(content))
	require.NoError(t, err)
	require.EqualValues(t, len(content), put.Size)
	require.EqualValues(t, 80, put.Chunks)
	_, err = store.PutString(ctx, "small", "text")
	require.NoError(t, err)

	js, _ = p.restart(syscall.SIGKILL).js()
	store, err = js.ObjectStore(ctx, "O")
	require.NoError(t, err)
	object, err := store.Get(ctx, "big") // the client compares the digest
	require.NoError(t, err)
	got, err := io.ReadAll(object)
	require.NoError(t, err)
	require.True(t, bytes.Equal(content, got))
	info, err := store.GetInfo(ctx, "big")
	require.NoError(t, err)
	require.Equal(t, put.Digest, info.Digest)
	require.True(t, strings.HasPrefix(info.Digest, "SHA-256="), info.Digest)

	_, err = store.AddLink(ctx, "link", info)
	require.NoError(t, err)
	small, err := store.GetInfo(ctx, "small")
	require.NoError(t, err)
	_, err = store.AddLink(ctx, "other", small)
	require.NoError(t, err)
	text, err := store.GetString(ctx, "other")
	require.NoError(t, err)
	require.Equal(t, "text", text)
	require.NoError(t, store.UpdateMeta(ctx, "small", jetstream.ObjectMeta{Name: "renamed", Description: "d"}))
	require.NoError(t, store.Delete(ctx, "big"))
	_, err = store.Get(ctx, "big")
	require.ErrorIs(t, err, jetstream.ErrObjectNotFound)
	status, err := store.Status(ctx)
	require.NoError(t, err)
	require.Less(t, status.Size(), uint64(1<<20), "its chunks are gone")
	listed, err := store.List(ctx)
	require.NoError(t, err)
	var names []string
	for _, i := range listed {
		names = append(names, i.Name)
	}
	require.ElementsMatch(t, []string{"renamed", "link", "other"}, names)
	require.NoError(t, store.Seal(ctx))
	_, err = store.PutString(ctx, "more", "x")
	require.Error(t, err)
	text, err = store.GetString(ctx, "renamed")
	require.NoError(t, err)
	require.Equal(t, "text", text)
}

func TestObjectStoreWatchAndBuckets(t *testing.T) {
	t.Parallel()
	js, _ := startJS(t).js()
	ctx := within(t)
	store, err := js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: "A", Storage: jetstream.MemoryStorage})
	require.NoError(t, err)
	other, err := js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: "B", Compression: true})
	require.NoError(t, err)
	_, err = store.PutString(ctx, "one", "1")
	require.NoError(t, err)
	_, err = store.AddBucketLink(ctx, "bucket", other)
	require.NoError(t, err)
	w, err := store.Watch(ctx)
	require.NoError(t, err)
	var seen []string
	for range 3 {
		select {
		case i := <-w.Updates():
			if i != nil {
				seen = append(seen, i.Name)
			}
		case <-ctx.Done():
			require.Fail(t, "an update did not come", "%v", seen)
		}
	}
	require.Equal(t, []string{"one", "bucket"}, seen)
	_, err = other.PutBytes(ctx, "zeros", make([]byte, 1<<20))
	require.NoError(t, err)
	back, err := other.GetBytes(ctx, "zeros")
	require.NoError(t, err)
	require.Equal(t, make([]byte, 1<<20), back)
	require.NoError(t, js.DeleteObjectStore(ctx, "A"))
	_, err = js.ObjectStore(ctx, "A")
	require.ErrorIs(t, err, jetstream.ErrBucketNotFound)
}

func TestLegacyObjectStore(t *testing.T) {
	t.Parallel()
	nc := startJS(t).client()
	js, err := nc.JetStream(nats.MaxWait(patience))
	require.NoError(t, err)
	store, err := js.CreateObjectStore(&nats.ObjectStoreConfig{Bucket: "L"})
	require.NoError(t, err)
	content := noise(300 << 10)
	_, err = store.PutBytes("x", content)
	require.NoError(t, err)
	back, err := store.GetBytes("x")
	require.NoError(t, err)
	require.True(t, bytes.Equal(content, back))
	require.NoError(t, store.Seal())
}
