package broker

import (
	"slices"
	"sync/atomic"

	"github.com/lockstepmq/lockstep/server/wire"
)

// surroundings are what clients are told of the cluster. Immutable.
type surroundings struct {
	cluster string
	urls    []string
}

// around holds the present surroundings; nil where there is no cluster.
type around struct{ atomic.Pointer[surroundings] }

// SetCluster says which cluster the server is in. Clients that are connected are not told.
func (b *Broker) SetCluster(name string) {
	b.changeSurroundings(func(s *surroundings) bool {
		s.cluster = name
		return false
	})
}

// SetConnectURLs says where clients may go, this server's addresses first, as host:port. Clients
// are told when it changes.
func (b *Broker) SetConnectURLs(urls []string) {
	b.changeSurroundings(func(s *surroundings) bool {
		same := slices.Equal(s.urls, urls)
		s.urls = urls
		return !same
	})
}

func (b *Broker) changeSurroundings(change func(*surroundings) (tell bool)) {
	for {
		was := b.around.Load()
		next := &surroundings{}
		if was != nil {
			*next = *was
		}
		tell := change(next)
		if !b.around.CompareAndSwap(was, next) {
			continue
		}
		if tell {
			for _, c := range b.Clients() {
				c.strand.Post(c.announceInfo)
			}
		}
		return
	}
}

// ClusterName is the cluster that the server is in, "" for none.
func (b *Broker) ClusterName() string {
	if s := b.around.Load(); s != nil {
		return s.cluster
	}
	return ""
}

// ConnectURLs are those that clients are told, this server's first.
func (b *Broker) ConnectURLs() []string {
	if s := b.around.Load(); s != nil {
		return s.urls
	}
	return nil
}

func (b *Broker) describeCluster(i *wire.Info) {
	i.Cluster, i.ConnectURLs = b.ClusterName(), b.ConnectURLs()
}
