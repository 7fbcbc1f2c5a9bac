// Clientcheck reads a meshproof log with filippo.io/torchwood's client, which authenticates every entry against the tree, and proof files
// with two readers of tlog-proof: torchwood's and transparency-dev's (formats/proof, formats/log, merkle).
// Exit code 1 and one line on standard error when anything does not hold.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"filippo.io/torchwood"
	formatslog "github.com/transparency-dev/formats/log"
	formatsproof "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	timeLimit   = 5 * time.Minute
	connections = 4
)

// result is what the program prints when all is well.
type result struct {
	Size    int64  `json:"size"`
	Root    string `json:"root"`
	Entries int64  `json:"entries"`
	Proofs  int    `json:"proofs"`
}

func main() {
	url := flag.String("log", "", "`URL` of the log")
	key := flag.String("key", "", "verifier `key` of the log")
	proofs := flag.String("proofs", "", "`directory` of tlog-proof files")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), timeLimit)
	defer cancel()

	out, err := check(ctx, *url, *key, *proofs)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "clientcheck:", err)
		os.Exit(1)
	}
}

func check(ctx context.Context, url, key, proofs string) (*result, error) {
	policy, err := torchwood.ParsePolicy([]byte("log " + key + "\nquorum none\n"))
	if err != nil {
		return nil, err
	}
	fetcher, err := torchwood.NewTileFetcher(url, torchwood.WithConcurrencyLimit(connections))
	if err != nil {
		return nil, err
	}
	signed, err := fetcher.ReadEndpoint(ctx, "checkpoint")
	if err != nil {
		return nil, err
	}
	checkpoint, _, err := torchwood.VerifyCheckpoint(signed, policy)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	out := &result{Size: checkpoint.N, Root: checkpoint.Hash.String()}

	client, err := torchwood.NewClient(fetcher)
	if err != nil {
		return nil, err
	}
	for index := range client.AllEntries(ctx, checkpoint.Tree, 0) {
		if index != out.Entries {
			return nil, fmt.Errorf("entry %d came after %d entries", index, out.Entries)
		}
		out.Entries++
	}
	if err := client.Err(); err != nil {
		return nil, fmt.Errorf("entries: %w", err)
	}
	if out.Entries != checkpoint.N {
		return nil, fmt.Errorf("%d entries in a tree of %d", out.Entries, checkpoint.N)
	}

	files, err := filepath.Glob(filepath.Join(proofs, "*"))
	if proofs == "" || err != nil {
		return out, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		entry, err := entryOf(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(file), err)
		}
		byTorchwood := torchwood.VerifyProof(policy, tlog.RecordHash(entry), text)
		byFormats := verifyWithFormats(text, entry, key)
		switch {
		case (byTorchwood == nil) != (byFormats == nil): // a proof that only one of them takes is spelled in a way of our own
			return nil, fmt.Errorf("%s: the readers disagree: torchwood: %v; transparency-dev: %v", filepath.Base(file), byTorchwood, byFormats)
		case byTorchwood != nil:
			return nil, fmt.Errorf("%s: torchwood: %v; transparency-dev: %v", filepath.Base(file), byTorchwood, byFormats)
		}
		out.Proofs++
	}
	return out, nil
}

// entryOf returns the log's entry of the record whose row a proof carries: 0x01 ‖ kind ‖ SHA-256(row).
func entryOf(text []byte) ([]byte, error) {
	row, err := torchwood.ProofExtraData(text)
	if err != nil {
		return nil, err
	}
	if len(row) < 2 {
		return nil, errors.New("the proof carries no row")
	}
	digest := sha256.Sum256(row)
	return append([]byte{1, row[1]}, digest[:]...), nil
}

func verifyWithFormats(text, entry []byte, key string) error {
	var parsed formatsproof.TLogProof
	if err := parsed.Unmarshal(text); err != nil {
		return err
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return err
	}
	checkpoint, _, _, err := formatslog.ParseCheckpoint(parsed.Checkpoint, verifier.Name(), verifier)
	if err != nil {
		return err
	}
	hashes := make([][]byte, len(parsed.Hashes))
	for i := range parsed.Hashes {
		hashes[i] = parsed.Hashes[i][:]
	}
	leaf := rfc6962.DefaultHasher.HashLeaf(entry)
	return proof.VerifyInclusion(rfc6962.DefaultHasher, parsed.Index, checkpoint.Size, leaf, hashes, checkpoint.Hash)
}
