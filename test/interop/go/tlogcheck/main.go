// Tlogcheck walks a meshproof log over HTTP with golang.org/x/mod/sumdb (note and tlog) and believes nothing that it has not hashed:
// every entry bundle, every tile at every level, the root, inclusion proofs, consistency with checkpoints seen before, proof files.
// What it computes from the entries alone is compared with what the log serves. Exit code 1 and one line on standard error otherwise.
//
// Sources: c2sp.org/tlog-tiles, c2sp.org/tlog-checkpoint, c2sp.org/tlog-proof; the entry is 0x01 ‖ kind ‖ SHA-256(row).
package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	tileHeight  = 8 // tlog-tiles fixes it; sumdb's own paths would name it
	tileWidth   = 1 << tileHeight
	entryLength = 34
)

// result is what the program prints when all is well.
type result struct {
	Size        int64          `json:"size"`
	Root        string         `json:"root"`
	Kinds       map[string]int `json:"kinds"`
	Tiles       int            `json:"tiles"`
	Levels      []int          `json:"rightEdge"` // width of the rightmost tile at each level, leaves first; 256 is a full one
	Inclusions  int            `json:"inclusions"`
	Consistency int            `json:"consistency"`
	Proofs      int            `json:"proofs"`
}

func main() {
	log := &logReader{client: &http.Client{Timeout: 10 * time.Second}, seen: map[tlog.Tile][]byte{}}
	flag.StringVar(&log.url, "log", "", "`URL` of the log, without a slash at its end")
	key := flag.String("key", "", "verifier `key` of the log")
	checkpoints := flag.String("checkpoints", "", "`directory` of checkpoints saved while the log grew")
	proofs := flag.String("proofs", "", "`directory` of tlog-proof files")
	samples := flag.Int("samples", 1000, "records whose inclusion is proved, beside those at the edges")
	seed := flag.Int64("seed", 1, "of the choice of records")
	flag.Parse()

	var err error
	log.verifier, err = note.NewVerifier(*key)
	if err == nil {
		var out *result
		if out, err = check(log, *checkpoints, *proofs, *samples, rand.New(rand.NewSource(*seed))); err == nil {
			err = json.NewEncoder(os.Stdout).Encode(out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tlogcheck:", err)
		os.Exit(1)
	}
}

func check(log *logReader, checkpoints, proofs string, samples int, random *rand.Rand) (*result, error) {
	signed, err := log.get("checkpoint")
	if err != nil {
		return nil, err
	}
	tree, err := openCheckpoint(signed, log.verifier)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	out := &result{Size: tree.N, Root: tree.Hash.String(), Kinds: map[string]int{}}

	entries, err := readEntries(log, tree.N)
	if err != nil {
		return nil, err
	}
	computed, err := hashAll(entries)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		out.Kinds[fmt.Sprint(entry[1])]++
	}
	root, err := tlog.TreeHash(tree.N, computed)
	if err != nil {
		return nil, err
	}
	if root != tree.Hash {
		return nil, fmt.Errorf("root: the entries give %v, the checkpoint says %v", root, tree.Hash)
	}

	if out.Tiles, err = checkTiles(log, tree.N, computed); err != nil {
		return nil, err
	}
	for n := tree.N; n > 0; n >>= tileHeight {
		out.Levels = append(out.Levels, int((n-1)%tileWidth)+1)
	}
	if out.Inclusions, err = checkInclusion(log, tree, entries, samples, random); err != nil {
		return nil, err
	}
	if out.Consistency, err = checkConsistency(log, tree, checkpoints); err != nil {
		return nil, err
	}
	out.Proofs, err = checkProofs(log.verifier, entries, proofs)
	return out, err
}

// openCheckpoint returns the tree of a signed note: origin, size and root, a line each (tlog-checkpoint; lines after those are extensions).
func openCheckpoint(signed []byte, verifier note.Verifier) (tlog.Tree, error) {
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	origin, rest, _ := strings.Cut(opened.Text, "\n")
	if origin != verifier.Name() {
		return tlog.Tree{}, fmt.Errorf("origin %q, expected %q", origin, verifier.Name())
	}
	// sumdb's ParseTree wants its own first line.
	return tlog.ParseTree([]byte("go.sum database tree\n" + rest))
}

// readEntries returns the entries of all bundles: a length of two bytes, big endian, before each (tlog-tiles, "Log Entries").
func readEntries(log *logReader, size int64) ([][]byte, error) {
	var entries [][]byte
	for n := int64(0); n*tileWidth < size; n++ {
		width := min(tileWidth, size-n*tileWidth)
		path := tilePath(tlog.Tile{H: tileHeight, L: -1, N: n, W: int(width)})
		bundle, err := log.get(path)
		if err != nil {
			return nil, err
		}
		for range width {
			if len(bundle) < 2 || len(bundle) < 2+int(binary.BigEndian.Uint16(bundle)) {
				return nil, fmt.Errorf("%s: ends within an entry", path)
			}
			length := 2 + int(binary.BigEndian.Uint16(bundle))
			entry := bundle[2:length]
			if len(entry) != entryLength || entry[0] != 1 || entry[1] < 1 || entry[1] > 6 {
				return nil, fmt.Errorf("%s: %x is no entry of version 1", path, entry)
			}
			entries, bundle = append(entries, entry), bundle[length:]
		}
		if len(bundle) != 0 {
			return nil, fmt.Errorf("%s: %d bytes behind the last entry", path, len(bundle))
		}
	}
	return entries, nil
}

// hashAll returns all hashes of the tree over entries, in sumdb's storage order.
func hashAll(entries [][]byte) (tlog.HashReader, error) {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			hashes[i] = stored[index]
		}
		return hashes, nil
	})
	for i, entry := range entries {
		hashes, err := tlog.StoredHashes(int64(i), entry, reader)
		if err != nil {
			return nil, err
		}
		stored = append(stored, hashes...)
	}
	return reader, nil
}

// checkTiles compares every tile that a log of this size serves with the hashes that its entries give.
func checkTiles(log *logReader, size int64, computed tlog.HashReader) (int, error) {
	tiles := tlog.NewTiles(tileHeight, 0, size)
	served, err := log.ReadTiles(tiles)
	if err != nil {
		return 0, err
	}
	for i, tile := range tiles {
		expected, err := tlog.ReadTileData(tile, computed)
		if err != nil {
			return 0, err
		}
		if !bytes.Equal(served[i], expected) {
			return 0, fmt.Errorf("%s: not the hashes of its entries", tilePath(tile))
		}
	}
	return len(tiles), nil
}

// checkInclusion proves records from the served tiles alone: those beside each border of a tile at the right edge, and some at random.
func checkInclusion(log *logReader, tree tlog.Tree, entries [][]byte, samples int, random *rand.Rand) (int, error) {
	tiles := tlog.TileHashReader(tree, log)
	chosen := []int64{0, tree.N - 1}
	for width := int64(1); width < tree.N; width *= 2 {
		edge := tree.N / width * width // where the last complete subtree of this width ends
		chosen = append(chosen, width-1, width, edge-1, edge)
	}
	for range samples {
		chosen = append(chosen, random.Int63n(tree.N))
	}
	count := 0
	for _, index := range chosen {
		if index >= tree.N {
			continue
		}
		proof, err := tlog.ProveRecord(tree.N, index, tiles)
		if err != nil {
			return 0, fmt.Errorf("inclusion of %d: %w", index, err)
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entries[index])); err != nil {
			return 0, fmt.Errorf("inclusion of %d: %w", index, err)
		}
		count++
	}
	return count, nil
}

// checkConsistency proves, for each checkpoint saved earlier, that the tree now is that tree with records behind it, and that its own
// tiles, partial ones included, are still served.
func checkConsistency(log *logReader, tree tlog.Tree, directory string) (int, error) {
	files, err := filesOf(directory)
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		signed, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		old, err := openCheckpoint(signed, log.verifier)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		proof, err := tlog.ProveTree(tree.N, old.N, tlog.TileHashReader(tree, log))
		if err == nil {
			err = tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash)
		}
		if err != nil {
			return 0, fmt.Errorf("consistency from %d to %d: %w", old.N, tree.N, err)
		}
		if _, err := tlog.ProveRecord(old.N, old.N-1, tlog.TileHashReader(old, log)); err != nil {
			return 0, fmt.Errorf("tiles of the tree of size %d: %w", old.N, err)
		}
	}
	return len(files), nil
}

// checkProofs reads tlog-proof files: the record that each carries is the one at its index, under a checkpoint of this log.
func checkProofs(verifier note.Verifier, entries [][]byte, directory string) (int, error) {
	files, err := filesOf(directory)
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil {
			err = checkProof(string(text), verifier, entries)
		}
		if err != nil {
			return 0, fmt.Errorf("%s: %w", filepath.Base(file), err)
		}
	}
	return len(files), nil
}

// logReader reads one log over HTTP. As a tlog.TileReader it remembers tiles that sumdb has authenticated.
type logReader struct {
	url      string
	verifier note.Verifier
	client   *http.Client
	seen     map[tlog.Tile][]byte
}

func (log *logReader) get(path string) ([]byte, error) {
	response, err := log.client.Get(log.url + "/" + path)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, 1<<20))
}

func (log *logReader) Height() int { return tileHeight }

func (log *logReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, tile := range tiles {
		if data[i] = log.seen[tile]; data[i] == nil {
			var err error
			if data[i], err = log.get(tilePath(tile)); err != nil {
				return nil, err
			}
		}
	}
	return data, nil
}

func (log *logReader) SaveTiles(tiles []tlog.Tile, data [][]byte) {
	for i, tile := range tiles {
		log.seen[tile] = data[i]
	}
}

// tilePath returns the path of tlog-tiles: sumdb's without the height, and "entries" for "data".
func tilePath(tile tlog.Tile) string {
	if tile.L == -1 {
		return "tile/entries/" + strings.TrimPrefix(tile.Path(), "tile/8/data/")
	}
	return "tile/" + strings.TrimPrefix(tile.Path(), "tile/8/")
}

func filesOf(directory string) ([]string, error) {
	if directory == "" {
		return nil, nil
	}
	return filepath.Glob(filepath.Join(directory, "*"))
}
