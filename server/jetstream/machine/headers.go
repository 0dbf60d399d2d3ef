package machine

import "github.com/lockstepmq/lockstep/server/jetstream/api"

// parseHeaders reads a header block; an empty one has nothing.
func parseHeaders(h *api.PublishHeaders, block []byte) {
	h.Has = 0
	if len(block) == 0 {
		return
	}
	h.Parse(block)
	if h.Has&api.HasTTL == 0 {
		if v := api.HeaderValue(block, api.HdrTTL); len(v) > 0 {
			h.TTL, h.Has = v, h.Has|api.HasTTL
		}
	}
}
