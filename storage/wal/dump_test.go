package wal

import (
	"fmt"
	"strings"

	"github.com/lockstepmq/lockstep/storage"
)

// Dump shows the log's files.
func Dump(d *storage.SimDisk) string {
	var b strings.Builder
	for _, name := range d.Files() {
		p := d.ReadFile(name)
		h, _, err := parseFileHeader(p)
		fmt.Fprintf(&b, "%s: %d bytes seg %d first %d joined %d oldest %d %v\n", name, len(p), h.segment, h.first, h.joined, h.oldest, err)
		for at := 64; at+batchHeaderLen <= len(p); at += 8 {
			bh, ok := parseBatchHeader(p[at:], h.log)
			if !ok || at+int(bh.size()) > len(p) {
				continue
			}
			fmt.Fprintf(&b, "  @%d batch %d durable %d flags %d size %d\n", at, bh.number, bh.durable, bh.flags, bh.size())
			eachChunk(p[at+64:at+int(bh.size())], &bh, h.log, func(c *chunkHeader, o int, rec []byte, sound bool) {
				fmt.Fprintf(&b, "    @%d kind %d group %d nth %d index %d term %d %d-%d of %d sound %v\n", at+64+o, c.kind, c.id.Group, c.nth, c.index, c.term, c.from, c.to, c.count, sound)
				if c.kind == kindCensus {
					for i := 0; i < len(rec); i += 64 {
						fmt.Fprintf(&b, "      %+v\n", parseMember(rec[i:]))
					}
				}
			})
		}
	}
	return b.String()
}
