package account

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lockstepmq/lockstep/server/subject"
)

// StreamImport lets subscriptions of this account reach another's subject. It
// never changes.
type StreamImport struct {
	Account    *Account // the exporting account
	From       string   // subject there
	To         string   // subject here, with `*` where From has wildcards
	AllowTrace bool

	export string // subject of the export that allows it
	pair   *pairing
}

// AddStreamImport lets subscriptions to prefix.subj (to subj, when prefix is empty)
// receive what is published on subj in from.
func (a *Account) AddStreamImport(from *Account, subj, prefix string) error {
	if prefix == "" {
		return a.AddMappedStreamImport(from, subj, "")
	}
	prefix = strings.TrimSuffix(prefix, ".")
	if from != nil && subject.HasWildcard(prefix) && from.CheckStreamImportAuthorized(a, subj) {
		return ErrStreamImportPrefix
	}
	return a.AddMappedStreamImport(from, subj, prefix+"."+subj)
}

// AddMappedStreamImport is AddStreamImport with the whole local subject, which may
// refer to the wildcards of subject by `*`, `$n` or `{{wildcard(n)}}` and must use
// each. An empty one is the subject itself.
func (a *Account) AddMappedStreamImport(from *Account, subject, to string) error {
	if from == nil {
		return ErrMissingAccount
	}
	if to == "" {
		to = subject
	}
	topology.Lock()
	defer topology.Unlock()
	export := authorize(from.graph.Load().StreamExports, a.Name, subject)
	if export == nil || !validPattern(subject) {
		return ErrStreamImportRefused
	}
	pair, err := pairSubjects(to, subject, false)
	if err == nil && !validPattern(strings.Join(pair.local, ".")) {
		err = errTransformSubject
	}
	if err != nil {
		return fmt.Errorf("failed to create mapping transform for stream import subject from %q to %q: %w", subject, to, err)
	}
	i := &StreamImport{
		Account: from, From: subject, To: strings.Join(pair.local, "."), export: export.Subject, pair: pair,
	}
	if err := streamCycle(a, i); err != nil {
		return err
	}
	for _, have := range a.graph.Load().StreamImports {
		if have.Account == from && have.From == subject {
			return ErrStreamImportExists
		}
	}
	a.change(func(g *Graph) { g.StreamImports = with(g.StreamImports, i) })
	return nil
}

// SetStreamImportAllowTrace lets message traces follow the import of subject.
func (a *Account) SetStreamImportAllowTrace(from *Account, subject string, allow bool) error {
	topology.Lock()
	defer topology.Unlock()
	for _, was := range a.graph.Load().StreamImports {
		if was.Account == from && was.From == subject {
			now := *was
			now.AllowTrace = allow
			a.change(func(g *Graph) { g.StreamImports = replaced(g.StreamImports, was, &now) })
			return nil
		}
	}
	return fmt.Errorf("stream import of %q from account %q not found", subject, from)
}

// ShadowSubject is the subject in the exporting account for a subscription to sub
// in the importing one: what is published there matches it exactly when the
// delivered subject matches sub. It is false when the import adds nothing to sub.
// It runs when subscriptions change, and allocates.
func (i *StreamImport) ShadowSubject(sub string) (string, bool) { return i.pair.shadow(sub) }

// AppendLocal adds to dst the subject under which the importing account sees a
// message that was published in the exporting account.
func (i *StreamImport) AppendLocal(dst, published []byte) []byte {
	return i.pair.toLocal.append(dst, published)
}

// Same tells whether the import delivers messages under the subject that they
// were published on.
func (i *StreamImport) Same() bool { return i.pair.toLocal.mode == rewriteSame }

func (i *StreamImport) equal(o *StreamImport) bool {
	return i.Account.Name == o.Account.Name && i.From == o.From && i.To == o.To && i.AllowTrace == o.AllowTrace &&
		i.export == o.export && slices.Equal(i.pair.bound, o.pair.bound)
}

// ServiceImport lets publishes of this account reach another's service. It never
// changes.
type ServiceImport struct {
	Account *Account // the exporting account
	From    string   // subject here, with `*` where To has wildcards
	To      string   // subject there
	Share   bool     // tell the service who asks
	Export  *Export  // the export that allows it, as it was then: see [Export.Current]

	importer *Account
	pair     *pairing
	sub      *Subscription // in the importing account's index
}

// AddServiceImport makes what is published on from here a request on to in the
// destination account; an empty to is from. Both may have wildcards, either may
// refer to the other's by `$n` or `{{wildcard(n)}}`, and each must be used.
func (a *Account) AddServiceImport(destination *Account, from, to string) error {
	if destination == nil {
		return ErrMissingAccount
	}
	if to == "" {
		to = from
	}
	topology.Lock()
	defer topology.Unlock()
	i, err := a.serviceImport(destination, from, to)
	if err != nil {
		return err
	}
	for _, have := range a.graph.Load().ServiceImports {
		if have.Account == destination && have.From == i.From {
			return &DuplicateServiceImportError{Subject: i.From, Account: destination.Name, To: have.To}
		}
	}
	a.change(func(g *Graph) { g.ServiceImports = with(g.ServiceImports, i) })
	a.insert(i.sub)
	return nil
}

// serviceImport checks and makes an import without adding it; topology is held.
func (a *Account) serviceImport(destination *Account, from, to string) (*ServiceImport, error) {
	export := authorize(destination.graph.Load().ServiceExports, a.Name, remotePattern(to))
	if export == nil {
		if !validPattern(from) || !validPattern(to) {
			return nil, ErrInvalidSubject
		}
		return nil, ErrServiceImportRefused
	}
	pair, err := pairSubjects(from, to, true)
	if err == nil {
		err = pair.complete(from)
	}
	if err != nil {
		if !validPattern(from) || !validPattern(to) {
			return nil, ErrInvalidSubject
		}
		return nil, fmt.Errorf("failed to create mapping transform for service import subject from %q to %q: %w", from, to, err)
	}
	i := &ServiceImport{
		Account: destination, From: strings.Join(pair.local, "."), To: strings.Join(pair.remote, "."),
		Export: export, importer: a, pair: pair,
	}
	if !validPattern(i.From) || !validPattern(i.To) {
		return nil, ErrInvalidSubject
	}
	i.sub = &Subscription{Subject: i.From, Service: i}
	return i, serviceCycle(a, destination, i.To)
}

// remotePattern is to with its references as wildcards, which is how exports are
// compared.
func remotePattern(to string) string {
	p, err := parsePattern(to)
	if err != nil {
		return to
	}
	return strings.Join(p.tokens, ".")
}

// SetServiceImportSharing sets whether the service at to in destination learns who
// asks. To is the subject there, of several imports of it the newest is meant; or
// else the subject here.
func (a *Account) SetServiceImportSharing(destination *Account, to string, allow bool) error {
	topology.Lock()
	defer topology.Unlock()
	was := a.findServiceImport(destination, remotePattern(to))
	switch {
	case was == nil:
		return fmt.Errorf("service import of %q from account %q not found", to, destination)
	case was.Share == allow:
		return nil
	}
	now := *was
	now.Share = allow
	now.sub = &Subscription{Subject: now.From, Service: &now}
	a.change(func(g *Graph) { g.ServiceImports = replaced(g.ServiceImports, was, &now) })
	a.insert(now.sub)
	a.dropSubscription(was.sub)
	return nil
}

func (a *Account) findServiceImport(destination *Account, subj string) *ServiceImport {
	var local *ServiceImport
	for _, i := range slices.Backward(a.graph.Load().ServiceImports) {
		switch {
		case i.Account != destination:
		case i.To == subj:
			return i
		case i.From == subj:
			local = i
		}
	}
	return local
}

// RemoveServiceImport ends the import of the local subject from destination and
// tells whether there was one.
func (a *Account) RemoveServiceImport(destination *Account, from string) bool {
	topology.Lock()
	defer topology.Unlock()
	for n, i := range a.graph.Load().ServiceImports {
		if i.Account == destination && i.From == from {
			a.change(func(g *Graph) { g.ServiceImports = slices.Delete(slices.Clone(g.ServiceImports), n, n+1) })
			a.dropSubscription(i.sub)
			return true
		}
	}
	return false
}

// insert puts an internal subscription into the account's interest.
func (a *Account) insert(s *Subscription) {
	if err := a.Insert(s); err != nil {
		panic(fmt.Sprintf("account %s: the index refuses %q, which was checked: %v", a.Name, s.Subject, err))
	}
}

// dropSubscription takes an internal subscription out of the account's interest.
func (a *Account) dropSubscription(s *Subscription) {
	s.Close()
	a.Remove(s)
}

// Importer is the account that imports.
func (i *ServiceImport) Importer() *Account { return i.importer }

// Subscription is the internal one that stands for the import in the importing
// account's interest.
func (i *ServiceImport) Subscription() *Subscription { return i.sub }

// AppendTarget adds to dst the subject in the exporting account for a request
// published on requested; it is false, and dst unchanged, when the import does not
// cover that subject.
func (i *ServiceImport) AppendTarget(dst, requested []byte) ([]byte, bool) {
	if !subject.Matches(requested, i.From) {
		return dst, false
	}
	return i.pair.toRemote.append(dst, requested), true
}

func (i *ServiceImport) equal(o *ServiceImport) bool {
	return i.Account.Name == o.Account.Name && i.From == o.From && i.To == o.To && i.Share == o.Share &&
		i.Export.Subject == o.Export.Subject && slices.Equal(i.pair.bound, o.pair.bound)
}
