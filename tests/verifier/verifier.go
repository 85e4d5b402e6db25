// SPDX-License-Identifier: Apache-2.0

// verifier - checks a log of sluice with the Go project's own checkpoint, tree and tile code, and nothing of ours.
//
//	verifier [-witness VKEY]... DIR [VKEY...]     a log
//	verifier -records DIR [VKEY...]               chosen records with their proofs
//
//	-evidence DIR in front of either: the age files DIR/SEQ.age, too, must be those that the records name
//
//	0: sound, 1: a fault on each line, 2: it cannot be said
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

var faults int

func fault(format string, args ...interface{}) {
	faults++
	fmt.Printf(format+"\n", args...)
}

// ---- protobuf, as much of it as a stranger needs ----

type field struct {
	number int
	bytes  []byte // of a length-delimited field
	value  uint64 // of a number
}

var errProto = errors.New("not protobuf")

func nextField(in []byte) (f field, rest []byte, err error) {
	tag, n := binary.Uvarint(in)
	if n <= 0 {
		return f, nil, errProto
	}
	in = in[n:]
	f.number = int(tag >> 3)
	switch tag & 7 {
	case 0:
		f.value, n = binary.Uvarint(in)
		if n <= 0 {
			return f, nil, errProto
		}
		return f, in[n:], nil
	case 1:
		if len(in) < 8 {
			return f, nil, errProto
		}
		f.value = binary.LittleEndian.Uint64(in)
		return f, in[8:], nil
	case 2:
		size, n := binary.Uvarint(in)
		if n <= 0 || size > uint64(len(in)-n) {
			return f, nil, errProto
		}
		f.bytes = in[n : n+int(size)]
		return f, in[n+int(size):], nil
	case 5:
		if len(in) < 4 {
			return f, nil, errProto
		}
		f.value = uint64(binary.LittleEndian.Uint32(in))
		return f, in[4:], nil
	}
	return f, nil, errProto
}

func fields(in []byte) map[int]field {
	all := map[int]field{}
	for len(in) > 0 {
		f, rest, err := nextField(in)
		if err != nil {
			return nil
		}
		all[f.number] = f
		in = rest
	}
	return all
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sealed(body []byte) bool {
	n := len(body) - 5
	return n > 0 && body[n] == 0x7D && binary.LittleEndian.Uint32(body[n+1:]) == crc32.Checksum(body[:n], castagnoli)
}

// ---- keys ----

type key struct {
	verifier note.Verifier
	id       []byte
	public   ed25519.PublicKey
	from     int64 // signs trees larger than this
	until    int64 // and up to this
}

type chain struct{ keys []*key }

func (c *chain) add(vkey string, from int64) error {
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	parts := strings.Split(vkey, "+")
	public, err := base64.StdEncoding.DecodeString(strings.Join(parts[2:], "+"))
	if err != nil || len(public) != 33 {
		return errors.New("not an Ed25519 key")
	}
	id := make([]byte, 4)
	binary.BigEndian.PutUint32(id, v.KeyHash())
	c.keys = append(c.keys, &key{v, id, public[1:], from, 1 << 62})
	return nil
}

// open says whether a key that may sign a tree of this size has signed the note.
func (c *chain) open(text []byte, size int64) error {
	var list []note.Verifier
	for _, k := range c.keys {
		if size >= k.from && size <= k.until {
			list = append(list, k.verifier)
		}
	}
	_, err := note.Open(text, note.VerifierList(unique(list)...))
	return err
}

func unique(list []note.Verifier) (out []note.Verifier) {
	seen := map[string]bool{}
	for _, v := range list {
		name := fmt.Sprint(v.Name(), v.KeyHash())
		if !seen[name] {
			out = append(out, v)
		}
		seen[name] = true
	}
	return
}

// ---- checkpoints ----

type checkpoint struct {
	note   []byte
	origin string
	tree   tlog.Tree
}

func parse(text []byte) (c checkpoint, err error) {
	lines := strings.Split(string(text), "\n")
	if len(lines) < 5 {
		return c, errors.New("not a checkpoint")
	}
	c.note, c.origin = text, lines[0]
	if c.tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return c, err
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return c, errors.New("not a root")
	}
	copy(c.tree.Hash[:], root)
	return c, nil
}

// ---- witnesses ----

// cosigner checks a cosignature/v1: an Ed25519 signature over a time and the note's text.
type cosigner struct {
	name   string
	hash   uint32
	public ed25519.PublicKey
}

func (c cosigner) Name() string    { return c.name }
func (c cosigner) KeyHash() uint32 { return c.hash }
func (c cosigner) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	signed := fmt.Sprintf("cosignature/v1\ntime %d\n%s", binary.BigEndian.Uint64(sig), msg)
	return ed25519.Verify(c.public, []byte(signed), sig[8:])
}

func newCosigner(vkey string) (c cosigner, err error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return c, errors.New("not a key")
	}
	key, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(key) != 33 || key[0] != 4 {
		return c, errors.New("not a key of cosignature/v1")
	}
	sum := sha256.Sum256(append([]byte(parts[0]+"\n"), key...))
	c = cosigner{parts[0], binary.BigEndian.Uint32(sum[:]), key[1:]}
	if fmt.Sprintf("%08x", c.hash) != parts[1] {
		return c, errors.New("not the id of that key")
	}
	return c, nil
}

// cosigned are the notes beside the log that witnesses have signed; each must be of this history.
func (t *tree) cosigned(dir string, witnesses []cosigner) {
	whole, _ := filepath.Abs(dir)
	path := filepath.Join(filepath.Dir(whole)+".cosigned", filepath.Base(whole))
	data, err := os.ReadFile(path)
	if err != nil {
		fault("%v", err)
		return
	}
	parts := bytes.Split(data, []byte("\n\f\n"))
	if len(parts[len(parts)-1]) != 0 {
		fault("cosigned: its end is not whole")
	}
	seen := map[string]bool{}
	for _, p := range parts[:len(parts)-1] {
		text := append(append([]byte{}, p...), '\n')
		c, err := parse(text)
		if err == nil {
			err = t.chain.open(text, c.tree.N)
		}
		if err != nil {
			fault("cosigned: %v", err)
			continue
		}
		if c.origin != t.origin || c.tree.N > t.count || t.root(c.tree.N) != c.tree.Hash {
			fault("cosigned: size %d is of another history", c.tree.N)
			continue
		}
		for _, w := range witnesses {
			if _, err := note.Open(text, note.VerifierList(w)); err == nil {
				seen[w.name] = true
			} else if _, unsigned := err.(*note.UnverifiedNoteError); !unsigned {
				fault("cosigned: %v", err)
			}
		}
	}
	for _, w := range witnesses {
		if !seen[w.name] {
			fault("cosigned: nothing of this history by %s", w.name)
		}
	}
}

// ---- the tree ----

type hashes []tlog.Hash

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x >= int64(len(h)) {
			return nil, fmt.Errorf("hash %d is not there", x)
		}
		out[i] = h[x]
	}
	return out, nil
}

type tiles struct{ dir string }

func (t tiles) path(tile tlog.Tile) string {
	return filepath.Join(t.dir, "tile", strings.TrimPrefix(tile.Path(), "tile/8/"))
}

func (t tiles) Height() int { return 8 }

func (t tiles) ReadTiles(list []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(list))
	for i, tile := range list {
		data, err := os.ReadFile(t.path(tile))
		if err != nil {
			return nil, err
		}
		out[i] = data
	}
	return out, nil
}

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

type tree struct {
	hashes hashes
	count  int64
	chain  *chain
	origin string
	newest int64
	gone   int64     // records in front of the first segment
	before tlog.Hash // the root of those
	named  bool      // a Prune record says that they went
}

func (t *tree) root(size int64) tlog.Hash {
	h, err := tlog.TreeHash(size, t.hashes)
	if size == 0 {
		return sha256.Sum256(nil)
	}
	if err != nil {
		fault("tree: %v", err)
	}
	return h
}

func (t *tree) add(record []byte) { t.leaf(tlog.RecordHash(record)) }

func (t *tree) leaf(hash tlog.Hash) {
	more, err := tlog.StoredHashesForRecordHash(t.count, hash, t.hashes)
	if err != nil {
		fault("record %d: %v", t.count, err)
		return
	}
	t.hashes = append(t.hashes, more...)
	t.count++
}

// rotation: the old key vouches for the new one and for the tree before it.
func (t *tree) rotation(body []byte) {
	f := fields(body)
	size, vkey := int64(f[5].value), string(f[4].bytes)
	if size > t.count || size < t.count-1 || len(f[6].bytes) != 32 {
		fault("record %d: a change of key for another place", t.count)
		return
	}
	root := t.root(size)
	if !bytes.Equal(root[:], f[6].bytes) {
		fault("record %d: the old key vouched for another tree", t.count)
		return
	}
	text := fmt.Sprintf("sluice key rotation\n%s\n%d\n%s\n%s\n", t.origin, size,
		base64.StdEncoding.EncodeToString(root[:]), vkey)
	good := false
	for _, k := range t.chain.keys {
		if bytes.Equal(k.id, f[1].bytes) && ed25519.Verify(k.public, []byte(text), f[3].bytes) {
			good = true
			k.until = t.count
		}
	}
	if !good {
		fault("record %d: a new key that no known key signed", t.count)
		return
	}
	if err := t.chain.add(vkey, t.count); err != nil {
		fault("record %d: %v", t.count, err)
	}
}

// pruned: of records that are gone the tiles have the hashes, and `rotations` the changes of key among them.
func (t *tree) pruned(dir string, size int64) {
	kept, _ := os.ReadFile(filepath.Join(dir, "rotations"))
	for t.count < size {
		tile := tlog.Tile{H: 8, L: 0, N: t.count >> 8, W: 256}
		if t.newest>>8 == tile.N {
			tile.W = int(t.newest & 255)
		}
		data, err := os.ReadFile(tiles{dir}.path(tile))
		if err != nil || len(data) != tile.W*tlog.HashSize {
			fault("record %d: neither it nor its hash: %v", t.count, err)
			return
		}
		for ; len(data) > 0 && t.count < size; data = data[tlog.HashSize:] {
			var hash tlog.Hash
			copy(hash[:], data)
			if f, rest, err := nextField(kept); err == nil && tlog.RecordHash(f.bytes) == hash {
				t.rotation(fields(f.bytes)[20].bytes)
				kept = rest
			}
			t.leaf(hash)
		}
	}
	t.gone, t.before = size, t.root(size)
}

// prune: it must say of all that is gone that it went, and have had the same history before it.
func (t *tree) prune(body []byte) {
	f := fields(body)
	size := int64(f[3].value)
	if t.gone == 0 || size < t.gone || size > t.count {
		return
	}
	if size == t.gone && !bytes.Equal(f[4].bytes, t.before[:]) {
		fault("record %d: it says that another history was pruned", t.count)
		return
	}
	t.named = true
}

// ---- segments ----

func readSegment(dir, name string) ([]byte, error) {
	raw, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil || !strings.HasSuffix(name, ".gz") {
		return raw, err
	}
	sum, err := os.ReadFile(filepath.Join(dir, name+".sha256"))
	if err != nil {
		fault("%v", err)
	} else if string(sum) != fmt.Sprintf("%x  %s\n", sha256.Sum256(raw), name) {
		fault("%s: not its SHA-256", name)
	}
	r, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func (t *tree) segment(dir, name string) {
	body, err := readSegment(dir, name)
	if err != nil {
		fault("%s: %v", name, err)
	}
	rest, header, trailer := body, map[int]field(nil), false
	for len(rest) > 0 {
		at := len(body) - len(rest)
		f, more, err := nextField(rest)
		if err != nil {
			if t.count < t.newest {
				fault("%s: offset %d: %v", name, at, err)
			}
			return
		}
		rest = more
		switch {
		case trailer:
			fault("%s: something follows the trailer", name)
		case f.number == 2 && header == nil:
			header = fields(f.bytes)
			if size := int64(header[11].value); t.count == 0 && size > 0 && size <= t.newest {
				t.pruned(dir, size)
			}
			root := t.root(t.count)
			if !sealed(f.bytes) || int64(header[11].value) != t.count || !bytes.Equal(header[4].bytes, root[:]) {
				if int64(header[11].value) <= t.newest {
					fault("%s: its header does not fit", name)
				}
			}
		case f.number == 1 && header != nil:
			if t.count >= t.newest {
				return
			}
			first := fields(f.bytes)
			if !sealed(f.bytes) || first[1].value != header[3].value+uint64(t.count)-header[11].value {
				fault("%s: offset %d: record %d is not right", name, at, t.count)
			}
			if rotated, ok := first[20]; ok {
				t.rotation(rotated.bytes)
			}
			if gone, ok := first[25]; ok {
				t.prune(gone.bytes)
			}
			evidence(f.bytes)
			t.add(f.bytes)
		case f.number == 3 && header != nil:
			trailer = true
			f := fields(f.bytes)
			root, sum := t.root(t.count), sha256.Sum256(body[:at])
			if int(f[4].value) != at || !bytes.Equal(f[2].bytes, root[:]) || !bytes.Equal(f[5].bytes, sum[:]) {
				fault("%s: its trailer does not fit", name)
			}
		default:
			fault("%s: offset %d: field %d", name, at, f.number)
			return
		}
	}
	if strings.HasSuffix(name, ".gz") && !trailer {
		fault("%s: no trailer", name)
	}
}

func segments(dir string) (names []string) {
	entries, _ := os.ReadDir(dir)
	gz := map[string]bool{}
	for _, e := range entries {
		gz[e.Name()] = true
	}
	for _, e := range entries {
		n := e.Name()
		if strings.HasSuffix(n, ".seg.gz") || (strings.HasSuffix(n, ".seg") && !gz[n+".gz"]) {
			names = append(names, n)
		}
		if strings.HasSuffix(n, ".seg.corrupt") {
			fault("%s: set aside", n)
		}
	}
	sort.Strings(names)
	return
}

func (t *tree) compareTiles(dir string) {
	reader := tiles{dir}
	var all []tlog.Tile
	for level := 0; t.newest>>(8*level) > 0; level++ {
		hashes := t.newest >> (8 * level)
		for n := int64(0); n < hashes>>8; n++ {
			all = append(all, tlog.Tile{H: 8, L: level, N: n, W: 256})
		}
		if hashes%256 != 0 {
			all = append(all, tlog.Tile{H: 8, L: level, N: hashes >> 8, W: int(hashes % 256)})
		}
	}
	for _, tile := range all {
		want, err := tlog.ReadTileData(tile, t.hashes)
		if err != nil {
			fault("%s: %v", tile.Path(), err)
			continue
		}
		got, err := os.ReadFile(reader.path(tile))
		if err != nil {
			fault("%v", err)
		} else if !bytes.Equal(got, want) {
			fault("%s: not the hashes of the records", reader.path(tile))
		}
	}
}

// ---- evidence ----

var (
	sealedDir  string              // of age files; empty: nobody asked
	sealedSeen = map[string]bool{} // those that a record names
)

// evidence: an age file is what the finding says, header and payload each.
func evidence(record []byte) {
	f := fields(record)
	named, ok := fields(f[16].bytes)[16]
	if sealedDir == "" || !ok {
		return
	}
	name, e := fmt.Sprintf("%d.age", f[1].value), fields(named.bytes)
	data, err := os.ReadFile(filepath.Join(sealedDir, name))
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	sealedSeen[name] = true
	n := e[8].value
	if err != nil || n > uint64(len(data)) {
		fault("%s: not what the record says: %v", name, err)
		return
	}
	header, payload := sha256.Sum256(data[:n]), sha256.Sum256(data[n:])
	if !bytes.Equal(header[:], e[10].bytes) || !bytes.Equal(payload[:], e[3].bytes) {
		fault("%s: not what the record says", name)
	}
}

func strangers() {
	if sealedDir == "" {
		return
	}
	files, _ := filepath.Glob(filepath.Join(sealedDir, "*"))
	for _, file := range files {
		if !sealedSeen[filepath.Base(file)] {
			fault("%s: no record names it", file)
		}
	}
}

// ---- chosen records ----

type proven struct {
	index  int64
	record []byte
}

// proof reads a C2SP tlog-proof and checks the record against the checkpoint in it, which must be ours.
func proof(path string, record []byte, ours checkpoint) (index int64, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	head, text, found := strings.Cut(string(data), "\n\n")
	lines := strings.Split(head, "\n")
	if !found || len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" || text != string(ours.note) {
		return 0, errors.New("not a proof against this checkpoint")
	}
	if _, err = fmt.Sscanf(lines[1], "index %d", &index); err != nil {
		return 0, err
	}
	var way tlog.RecordProof
	for _, line := range lines[2:] {
		var h tlog.Hash
		raw, err := base64.StdEncoding.DecodeString(line)
		if err != nil || copy(h[:], raw) != tlog.HashSize || len(raw) != tlog.HashSize {
			return 0, errors.New("not a hash")
		}
		way = append(way, h)
	}
	return index, tlog.CheckRecord(way, ours.tree.N, ours.tree.Hash, index, tlog.RecordHash(record))
}

// vouch follows the changes of the key: what the old key signed of the new one, and where.
func (c *chain) vouch(origin string, p proven) {
	rotated, ok := fields(p.record)[20]
	if !ok {
		return
	}
	f := fields(rotated.bytes)
	size, vkey := int64(f[5].value), string(f[4].bytes)
	text := fmt.Sprintf("sluice key rotation\n%s\n%d\n%s\n%s\n", origin, size,
		base64.StdEncoding.EncodeToString(f[6].bytes), vkey)
	for _, k := range c.keys {
		if bytes.Equal(k.id, f[1].bytes) && ed25519.Verify(k.public, []byte(text), f[3].bytes) && size <= p.index {
			k.until = p.index
			if err := c.add(vkey, p.index); err != nil {
				fault("record %d: %v", p.index, err)
			}
			return
		}
	}
}

func records(dir string, c *chain) {
	text, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		fail(err)
	}
	ours, err := parse(text)
	if err != nil {
		fail(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "records", "*.pb"))
	stored, list := map[string]bool{}, []proven(nil)
	for _, file := range files {
		record, err := os.ReadFile(file)
		if err != nil {
			fail(err)
		}
		seq := strings.TrimSuffix(filepath.Base(file), ".pb")
		index, err := proof(filepath.Join(dir, "proofs", seq), record, ours)
		if err != nil {
			fault("record %s: %v", seq, err)
			continue
		}
		if fmt.Sprint(fields(record)[1].value) != seq || !sealed(record) {
			fault("record %s: it is not of that number", seq)
		}
		stored[string(record)] = true
		list = append(list, proven{index, record})
	}
	// Changes of key whose records are gone: each is still signed by the key before it.
	kept, _ := os.ReadFile(filepath.Join(dir, "rotations"))
	for len(kept) > 0 {
		f, rest, err := nextField(kept)
		if err != nil {
			fault("rotations: %v", err)
			break
		}
		c.vouch(ours.origin, proven{int64(fields(fields(f.bytes)[20].bytes)[5].value), f.bytes})
		kept = rest
	}
	sort.Slice(list, func(i, k int) bool { return list[i].index < list[k].index })
	for _, p := range list {
		c.vouch(ours.origin, p)
		evidence(p.record)
	}
	strangers()
	if err := c.open(text, ours.tree.N); err != nil {
		fault("checkpoint: %v", err)
	}
	all, err := os.ReadFile(filepath.Join(dir, "records.pb"))
	if err != nil {
		fail(err)
	}
	for len(all) > 0 {
		f, rest, err := nextField(all)
		if err != nil || f.number != 1 || !stored[string(f.bytes)] {
			fault("records.pb: a record without a proof")
			break
		}
		all = rest
	}
	if faults > 0 {
		os.Exit(1)
	}
	fmt.Printf("sound: %s: %d records of %d\n", ours.origin, len(list), ours.tree.N)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "verifier:", err)
	os.Exit(2)
}

func history(dir string) (all [][]byte) {
	data, err := os.ReadFile(filepath.Join(dir, "checkpoints"))
	if err != nil {
		fault("%v", err)
		return
	}
	parts := bytes.Split(data, []byte("\n\f\n"))
	for _, p := range parts[:len(parts)-1] {
		all = append(all, append(append([]byte{}, p...), '\n'))
	}
	if len(parts[len(parts)-1]) != 0 {
		fault("checkpoints: its end is not whole")
	}
	return
}

func main() {
	args, witnesses, chosen := os.Args[1:], []cosigner(nil), false
	if len(args) > 2 && args[0] == "-evidence" {
		sealedDir, args = args[1], args[2:]
	}
	if len(args) > 1 && args[0] == "-records" {
		chosen, args = true, args[1:]
	}
	for len(args) > 2 && args[0] == "-witness" {
		w, err := newCosigner(args[1])
		if err != nil {
			fail(err)
		}
		witnesses, args = append(witnesses, w), args[2:]
	}
	if len(args) < 1 {
		fail(errors.New("usage: verifier [-witness VKEY]... DIR [VKEY...]"))
	}
	dir, given := args[0], args[1:]
	c := &chain{}
	own, err := os.ReadFile(filepath.Join(dir, "vkey"))
	if err != nil {
		fault("%v", err)
	}
	lines := strings.Split(string(own), "\n")
	if len(lines) > 0 && lines[len(lines)-1] != "" {
		fault("vkey: its end is not whole")
	}
	for _, line := range lines[:len(lines)-1] {
		if err := c.add(line, 0); err != nil {
			fault("vkey: %v", err)
		}
	}
	if len(given) > 0 {
		c.keys = nil
	}
	for _, line := range given {
		if err := c.add(line, 0); err != nil {
			fail(err)
		}
	}
	if chosen {
		records(dir, c)
		return
	}
	text, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		fault("%v", err)
	}
	newest, err := parse(text)
	if err != nil {
		fault("checkpoint: %v", err)
	}
	all := history(dir)
	if len(all) == 0 || !bytes.Equal(all[len(all)-1], text) {
		fault("checkpoint: not the last of checkpoints")
	}
	t := &tree{chain: c, origin: newest.origin, newest: newest.tree.N}
	for _, name := range segments(dir) {
		t.segment(dir, name)
	}
	strangers()
	if t.gone > 0 && !t.named {
		fault("%d records at the beginning: no record says that they were pruned", t.gone)
	}
	if t.count < t.newest {
		fault("%d records of %d", t.count, t.newest)
	}
	for _, entry := range all {
		old, err := parse(entry)
		if err == nil {
			err = c.open(entry, old.tree.N)
		}
		if err != nil {
			fault("checkpoints: %v", err)
		} else if old.tree.N > t.count {
			fault("checkpoints: size %d is beyond the records", old.tree.N)
		} else if t.root(old.tree.N) != old.tree.Hash {
			fault("checkpoints: size %d is of another history", old.tree.N)
		}
	}
	if len(witnesses) > 0 {
		t.cosigned(dir, witnesses)
	}
	if faults == 0 {
		if err := c.open(text, newest.tree.N); err != nil {
			fault("checkpoint: %v", err)
		}
		if newest.tree.N > 0 {
			root, err := tlog.TreeHash(newest.tree.N, tlog.TileHashReader(newest.tree, tiles{dir}))
			if err != nil || root != newest.tree.Hash {
				fault("tiles: they do not give the root: %v", err)
			}
		}
		t.compareTiles(dir)
	}
	if faults > 0 {
		os.Exit(1)
	}
	fmt.Printf("sound: %s: %d records, %d checkpoints\n", newest.origin, t.count, len(all))
}
