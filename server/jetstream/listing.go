package jetstream

import (
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/stream"
)

// page cuts a page out of n things: a negative offset is 0, one past the end is the end.
func page(n, offset, limit int) (from, to int) {
	from = min(max(offset, 0), n)
	return from, min(n, from+limit)
}

func (m *Manager) streamNames(r *request) {
	var req api.JSApiStreamNamesRequest
	if err := r.decodeOptional(&req); err != nil {
		r.fail(err)
		return
	}
	names := r.t.selected(req.Subject)
	from, to := page(len(names), req.Offset, api.NamesPage)
	resp := &api.StreamNamesResponse{ApiResponse: r.head(), ApiPaged: api.ApiPaged{Total: len(names), Offset: from, Limit: api.NamesPage}}
	if to > from {
		resp.Streams = names[from:to]
	}
	r.respond(resp)
}

// gather is a list that streams fill in, each on its own strand.
type gather struct {
	r     *request
	resp  *api.StreamListResponse
	infos []*api.StreamInfo
	left  int
}

func (m *Manager) streamList(r *request) {
	var req api.JSApiStreamListRequest
	if err := r.decodeOptional(&req); err != nil {
		r.fail(err)
		return
	}
	names := r.t.selected(req.Subject)
	from, to := page(len(names), req.Offset, api.ListPage)
	g := &gather{r: r, infos: make([]*api.StreamInfo, to-from), left: to - from + 1, resp: &api.StreamListResponse{
		ApiResponse: r.head(), ApiPaged: api.ApiPaged{Total: len(names), Offset: from, Limit: api.ListPage},
	}}
	if m.cluster != nil {
		g.left++
		m.listElsewhere(g, names, from)
	}
	for i, name := range names[from:to] {
		mem := r.t.streams[name]
		if m.cluster != nil && (mem.s == nil || !mem.leads) {
			g.left--
			continue
		}
		if mem.s == nil {
			g.resp.Missing = append(g.resp.Missing, name)
			if mem.offline != "" {
				if g.resp.Offline == nil {
					g.resp.Offline = make(map[string]string)
				}
				g.resp.Offline[name] = mem.offline
			}
			g.left--
			continue
		}
		m.infoInto(mem.s, g, i)
	}
	g.done()
}

// infoInto has a stream report itself.
func (m *Manager) infoInto(s *stream.Stream, g *gather, i int) {
	s.Do(m.strand, func() {
		info := s.Info()
		info.Config = *s.Config()
		if m.cluster == nil {
			info.Cluster = nil
		}
		m.strand.PostFrom(s.Strand(), func() {
			g.infos[i] = &info
			g.done()
			m.flush()
		})
	})
}

// done answers with the last stream's report.
func (g *gather) done() {
	if g.left--; g.left > 0 {
		return
	}
	for _, info := range g.infos {
		if info != nil {
			g.resp.Streams = append(g.resp.Streams, info)
		}
	}
	g.r.respond(g.resp)
}

func (m *Manager) streamInfo(r *request) {
	var req api.JSApiStreamInfoRequest
	if err := r.decodeOptional(&req); err != nil {
		r.fail(err)
		return
	}
	m.onStream(r, func(s *stream.Stream) {
		info := s.Info()
		resp := &api.StreamInfoResponse{ApiResponse: r.head(), StreamInfo: &info}
		if req.DeletedDetails {
			info.State.Deleted = s.Deleted()
		}
		if req.SubjectsFilter != "" {
			offset := max(req.Offset, 0)
			info.State.Subjects, resp.Total = s.Subjects(req.SubjectsFilter, offset, api.SubjectsPage)
			if resp.Total > 0 {
				resp.Offset, resp.Limit = offset, api.SubjectsPage
			}
		}
		r.respondBy(s.Sender(), resp)
	})
}
