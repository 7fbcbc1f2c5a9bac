package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// checkProof reads one tlog-proof of meshproof, whose extra line is the row of the record. The entry is computed from that row, and
// compared with the one that the log has at this index.
func checkProof(text string, verifier note.Verifier, entries [][]byte) error {
	head, signed, found := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	if !found || len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return errors.New("not a tlog-proof")
	}
	extra, hasExtra := strings.CutPrefix(lines[1], "extra ")
	number, hasIndex := strings.CutPrefix(lines[2], "index ")
	if !hasExtra || !hasIndex {
		return errors.New("expected an extra line and an index line")
	}
	row, err := base64.StdEncoding.DecodeString(extra)
	if err != nil {
		return err
	}
	if len(row) < 2 {
		return fmt.Errorf("a row of %d bytes", len(row))
	}
	index, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return err
	}
	var path tlog.RecordProof
	for _, line := range lines[3:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		path = append(path, hash)
	}
	tree, err := openCheckpoint([]byte(signed), verifier)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(row)
	entry := append([]byte{1, row[1]}, digest[:]...)
	if err := tlog.CheckRecord(path, tree.N, tree.Hash, index, tlog.RecordHash(entry)); err != nil {
		return err
	}
	if index < int64(len(entries)) && !bytes.Equal(entries[index], entry) {
		return fmt.Errorf("proves another entry than the log has at %d", index)
	}
	return nil
}
