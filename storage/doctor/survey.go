package doctor

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/lockstepmq/lockstep/storage/wal"
)

// catalogueID is the group that knows which streams there are.
var catalogueID = wal.ID{Group: 1, Incarnation: 1}

// asset is a stream as the catalogue knows it, as far as it matters here.
type asset struct {
	Account     string `json:"account"`
	Group       uint64 `json:"group"`
	Incarnation uint64 `json:"incarnation"`
	Config      *struct {
		Name    string `json:"name"`
		Storage string `json:"storage"`
	} `json:"config"`
}

func (a *asset) memory() bool   { return a.Config.Storage == "memory" }
func (a *asset) title() string  { return a.Account + " > " + a.Config.Name }
func (a *asset) id() wal.ID     { return wal.ID{Group: a.Group, Incarnation: a.Incarnation} }
func (a *asset) complete() bool { return a != nil && a.Config != nil && a.Config.Name != "" }

// dirOf is the directory of a group's files.
func dirOf(id wal.ID) string {
	return path.Join(streamsDir, fmt.Sprintf("%d-%d", id.Group, id.Incarnation))
}

// readCatalogue names the groups.
func (e *exam) readCatalogue() {
	p := Part{Name: "catalogue", Detail: "no stream was ever made"}
	g := e.group(catalogueID)
	if g == nil {
		if len(e.groups) > 0 {
			p.State, p.Detail = Damaged, "nothing of it is left; streams are named by their groups"
		}
		e.report.Parts = append(e.report.Parts, p)
		return
	}
	g.name = p.Name
	all, err := catalogue(g.found)
	p.State, p.Detail = e.groupState(g)
	switch {
	case err != nil && p.State != Encrypted:
		p.State, p.Detail = max(p.State, Unread), err.Error()
	case p.State == Sound:
		p.Detail = count(len(all), "stream")
	}
	for _, a := range all {
		g := e.group(a.id())
		if g == nil { // nothing was ever written to it, or all of it may be lost: the log tells
			g = e.attachOne(a.id())
		}
		g.asset, g.name = a, a.title()
	}
	e.report.Parts = append(e.report.Parts, p)
}

// groupState is what the log says of a group.
func (e *exam) groupState(g *group) (State, string) {
	switch err := g.found.Damage; {
	case err == nil:
		return Sound, ""
	case errors.Is(err, wal.ErrNoKey) && !e.concerned(g):
		return Encrypted, sealed
	case len(e.met.Damage) > 0:
		return Damaged, "the log lost some of it"
	default:
		return Unread, err.Error()
	}
}

// sealed says why a part was not examined.
const sealed = "encrypted (cannot be examined without the key)"

// concerned tells whether the log lost something of a group.
func (e *exam) concerned(g *group) bool {
	return slices.ContainsFunc(e.met.Damage, func(d wal.Damage) bool { return slices.Contains(d.Groups, g.id) })
}

// catalogue puts together the streams from the state and the entries after it.
func catalogue(f *wal.Found) ([]*asset, error) {
	var state struct {
		Assets map[string]*asset `json:"assets"`
	}
	if f.State != nil {
		if err := json.Unmarshal(f.State, &state); err != nil {
			return nil, fmt.Errorf("its state cannot be understood: %w", err)
		}
	}
	all := map[wal.ID]*asset{}
	for _, a := range state.Assets { //lockstep:ordered sorted below
		if a.complete() {
			all[a.id()] = a
		}
	}
	for _, entry := range f.Entries {
		var ch struct {
			Op    string `json:"op"`
			Asset *asset `json:"asset"`
		}
		if json.Unmarshal(entry.Payload, &ch) != nil || !ch.Asset.complete() {
			return nil, fmt.Errorf("entry %d cannot be understood", entry.Index)
		}
		if ch.Op == "delete" {
			delete(all, ch.Asset.id())
		} else {
			all[ch.Asset.id()] = ch.Asset
		}
	}
	list := make([]*asset, 0, len(all))
	for _, a := range all { //lockstep:ordered sorted below
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b *asset) int { //lockstep:total no two streams of an account have one name
		return strings.Compare(a.title(), b.title())
	})
	return list, nil
}

// identityOf is the identity in a manifest, which its files were written under.
func identityOf(manifest []byte) uint64 {
	const at = 20
	if len(manifest) < at+8 {
		return 0
	}
	return binary.LittleEndian.Uint64(manifest[at:])
}

// streamStateVersion is the first byte of a stream's state.
const streamStateVersion = 3

// manifestOf is what a stream's state says about its files: nil when there is no state yet.
func manifestOf(f *wal.Found) ([]byte, error) {
	if f.State == nil {
		return nil, nil
	}
	if len(f.State) == 0 || f.State[0] != streamStateVersion {
		return nil, fmt.Errorf("its state is of another version, or not a stream's")
	}
	n, w := binary.Uvarint(f.State[1:])
	if w <= 0 || n > uint64(len(f.State)-1-w) {
		return nil, fmt.Errorf("its state cannot be understood")
	}
	return f.State[1+w:][:n], nil
}
