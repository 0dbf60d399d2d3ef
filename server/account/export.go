package account

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lockstepmq/lockstep/server/subject"
)

// Export is one subject that other accounts may import. It never changes: a
// changed export is another one, which [Export.Current] leads to.
type Export struct {
	Subject string
	// Accounts that may import it, sorted by name; nil is public.
	Accounts []string
	// TokenPosition, from 1, names the `*` token that must be the importing
	// account's name, and then decides alone; 0 is none.
	TokenPosition int
	Response      ResponseType  // services only
	Threshold     time.Duration // services only; above zero
	AllowTrace    bool          // services only
	Latency       *Latency      // services only; nil when it is not measured

	tokens []string
	next   atomic.Pointer[Export] // what replaced this one
}

// Latency says how a service's latency is reported.
type Latency struct {
	// Subject of the reports, in the exporting account; always a literal.
	Subject string
	// Sampling is the percentage of requests measured, 1 to 100; 0 is those whose
	// headers ask for it.
	Sampling int
}

// Current is the export in force, after all changes made since e was read.
func (e *Export) Current() *Export {
	for {
		next := e.next.Load()
		if next == nil {
			return e
		}
		e = next
	}
}

// Public tells whether any account may import the export.
func (e *Export) Public() bool { return e.Accounts == nil && e.TokenPosition == 0 }

// allows tells whether importer may import subject, which the export covers.
func (e *Export) allows(importer string, tokens []string) bool {
	if p := e.TokenPosition; p > 0 {
		return p <= len(tokens) && tokens[p-1] == importer
	}
	if e.Public() {
		return true
	}
	_, listed := slices.BinarySearch(e.Accounts, importer)
	return listed
}

// copy is e with nothing that ties it to the original.
func (e *Export) copy() *Export {
	return &Export{
		Subject: e.Subject, Accounts: e.Accounts, TokenPosition: e.TokenPosition, Response: e.Response,
		Threshold: e.Threshold, AllowTrace: e.AllowTrace, Latency: e.Latency, tokens: e.tokens,
	}
}

// equal tells whether both exports say the same.
func (e *Export) equal(o *Export) bool {
	return e.Subject == o.Subject && slices.Equal(e.Accounts, o.Accounts) &&
		(e.Accounts == nil) == (o.Accounts == nil) && e.TokenPosition == o.TokenPosition &&
		e.Response == o.Response && e.Threshold == o.Threshold && e.AllowTrace == o.AllowTrace &&
		(e.Latency == nil) == (o.Latency == nil) && (e.Latency == nil || *e.Latency == *o.Latency)
}

// AddStreamExport lets other accounts subscribe to subject. Nil accounts is
// everybody; exporting a subject again adds to the accounts that may import it.
func (a *Account) AddStreamExport(subject string, accounts []*Account) error {
	return a.AddStreamExportWithTokenPosition(subject, accounts, 0)
}

// AddStreamExportWithTokenPosition is AddStreamExport where the `*` token at
// position, from 1, must be the importing account's name; 0 asks for none.
func (a *Account) AddStreamExportWithTokenPosition(subject string, accounts []*Account, position int) error {
	return a.addExport(&Export{Subject: subject, TokenPosition: position}, accounts, streamExports)
}

// AddServiceExport lets other accounts send requests to subject. Nil accounts is
// everybody; exporting a subject again adds to the accounts that may import it.
func (a *Account) AddServiceExport(subject string, accounts []*Account) error {
	return a.AddServiceExportWithResponse(subject, Singleton, accounts)
}

// AddServiceExportWithResponse is AddServiceExport with a response type.
func (a *Account) AddServiceExportWithResponse(subject string, rt ResponseType, accounts []*Account) error {
	return a.AddServiceExportWithTokenPosition(subject, rt, accounts, 0)
}

// AddServiceExportWithTokenPosition is AddServiceExportWithResponse where the `*`
// token at position, from 1, must be the importing account's name; 0 asks for none.
func (a *Account) AddServiceExportWithTokenPosition(subject string, rt ResponseType, accounts []*Account, position int) error {
	if rt < Singleton || rt > Chunked {
		return ErrBadResponseType
	}
	e := &Export{Subject: subject, TokenPosition: position, Response: rt, Threshold: DefaultThreshold}
	return a.addExport(e, accounts, serviceExports)
}

// The two lists of exports of a graph.
func streamExports(g *Graph) *[]*Export  { return &g.StreamExports }
func serviceExports(g *Graph) *[]*Export { return &g.ServiceExports }

func (a *Account) addExport(e *Export, accounts []*Account, of func(*Graph) *[]*Export) error {
	if !validPattern(e.Subject) {
		return ErrInvalidSubject
	}
	e.tokens = strings.Split(e.Subject, ".")
	if p := e.TokenPosition; p < 0 || p > len(e.tokens) || p > 0 && e.tokens[p-1] != "*" {
		return ErrInvalidSubject
	}
	if accounts != nil {
		e.Accounts = []string{}
	}
	for _, other := range accounts {
		if other == nil {
			return ErrMissingAccount
		}
		e.Accounts = append(e.Accounts, other.Name)
	}
	topology.Lock()
	defer topology.Unlock()
	was := findExport(*of(a.graph.Load()), e.Subject)
	if was == nil {
		e.Accounts = sortedNames(e.Accounts)
		a.change(func(g *Graph) { *of(g) = with(*of(g), e) })
		return nil
	}
	if was.Accounts != nil {
		e.Accounts = append(e.Accounts, was.Accounts...)
	}
	e.Accounts = sortedNames(e.Accounts)
	if e.TokenPosition == 0 {
		e.TokenPosition = was.TokenPosition
	}
	if was.Threshold > 0 {
		e.Threshold = was.Threshold
	}
	e.AllowTrace, e.Latency = was.AllowTrace, was.Latency
	a.replaceExport(was, e, of)
	return nil
}

// replaceExport puts now in the place of was; topology is held.
func (a *Account) replaceExport(was, now *Export, of func(*Graph) *[]*Export) {
	a.change(func(g *Graph) { *of(g) = replaced(*of(g), was, now) })
	was.next.Store(now)
}

// sortedNames keeps nil and empty apart: nobody is not everybody.
func sortedNames(names []string) []string {
	if names == nil {
		return nil
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func findExport(list []*Export, subject string) *Export {
	for _, e := range list {
		if e.Subject == subject {
			return e
		}
	}
	return nil
}

// authorize finds the export that allows importer to import the subject: the one
// of exactly this subject decides alone if there is one, else the first that
// covers the subject and allows it.
func authorize(list []*Export, importer, subj string) *Export {
	tokens := strings.Split(subj, ".")
	if e := findExport(list, subj); e != nil {
		if e.allows(importer, tokens) {
			return e
		}
		return nil
	}
	for _, e := range list {
		if subject.SubsetOf(subj, e.Subject) && e.allows(importer, tokens) {
			return e
		}
	}
	return nil
}

// CheckStreamImportAuthorized tells whether importer may import the stream.
func (a *Account) CheckStreamImportAuthorized(importer *Account, subject string) bool {
	return authorize(a.Graph().StreamExports, importer.Name, subject) != nil
}

// CheckServiceImportAuthorized tells whether importer may import the service.
func (a *Account) CheckServiceImportAuthorized(importer *Account, subject string) bool {
	return authorize(a.Graph().ServiceExports, importer.Name, subject) != nil
}

// IsExportService tells whether subject is, or falls under, a service export.
func (a *Account) IsExportService(subject string) bool { return a.ServiceExport(subject) != nil }

// ServiceExport is the service export of subj, or the first that covers it;
// nil when there is none.
func (a *Account) ServiceExport(subj string) *Export {
	list := a.Graph().ServiceExports
	if e := findExport(list, subj); e != nil {
		return e
	}
	for _, e := range list {
		if subject.SubsetOf(subj, e.Subject) {
			return e
		}
	}
	return nil
}

// ServiceExportResponseThreshold is how long the service exported as subject may
// take to respond.
func (a *Account) ServiceExportResponseThreshold(subject string) (time.Duration, error) {
	e := findExport(a.Graph().ServiceExports, subject)
	if e == nil {
		return 0, ErrMissingService
	}
	return e.Threshold, nil
}

// SetServiceExportResponseThreshold changes how long the service exported as
// subject may take to respond, for requests to come. It must be above zero.
func (a *Account) SetServiceExportResponseThreshold(subject string, threshold time.Duration) error {
	if threshold <= 0 {
		return ErrBadThreshold
	}
	return a.editServiceExport(subject, func(e *Export) error {
		e.Threshold = threshold
		return nil
	})
}

// SetServiceExportAllowTrace lets message traces follow requests into the service.
func (a *Account) SetServiceExportAllowTrace(subject string, allow bool) error {
	return a.editServiceExport(subject, func(e *Export) error {
		e.AllowTrace = allow
		return nil
	})
}

// TrackServiceExport reports the latency of every request to service on results.
func (a *Account) TrackServiceExport(service, results string) error {
	return a.TrackServiceExportWithSampling(service, results, 100)
}

// TrackServiceExportWithSampling reports the latency of sampling percent of the
// requests, 1 to 100; 0 is those whose headers ask for it.
func (a *Account) TrackServiceExportWithSampling(service, results string, sampling int) error {
	if sampling < 0 || sampling > 100 {
		return ErrBadSampling
	}
	if !validPattern(results) || subject.HasWildcard(results) || a.IsExportService(results) {
		return ErrBadLatencySubject
	}
	return a.editServiceExport(service, func(e *Export) error {
		if e.Response != Singleton {
			return ErrBadResponseType
		}
		e.Latency = &Latency{Subject: results, Sampling: sampling}
		return nil
	})
}

// UnTrackServiceExport ends the reports.
func (a *Account) UnTrackServiceExport(service string) {
	_ = a.editServiceExport(service, func(e *Export) error { // an unknown service is not tracked
		e.Latency = nil
		return nil
	})
}

func (a *Account) editServiceExport(subject string, edit func(*Export) error) error {
	topology.Lock()
	defer topology.Unlock()
	was := findExport(a.graph.Load().ServiceExports, subject)
	if was == nil {
		return ErrMissingService
	}
	now := was.copy()
	if err := edit(now); err != nil {
		return err
	}
	a.replaceExport(was, now, serviceExports)
	return nil
}
