package stream

import "github.com/lockstepmq/lockstep/server/jetstream/api"

// mirrorInfo reports what the stream mirrors; nil when it is no mirror.
func (s *Stream) mirrorInfo() *api.StreamSourceInfo { return nil }

// sourceInfos report what the stream has sources of.
func (s *Stream) sourceInfos() []*api.StreamSourceInfo { return nil }
