package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
)

// quickFile holds the figures of the last commit, beside the ceiling of its own run: a
// commit that makes something faster, or slower on purpose, contains a new one.
const quickFile = "quick.json"

// ratio relates a figure of Ringback's to the ceiling's.
type ratio struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	// More means that more is better.
	More bool `json:"more,omitempty"`
}

// worst is how much worse a figure may be than the last commit's: these are ratios of
// medians, and still the machine has moods.
const worst = 2.0 / 3

// quick measures Ringback beside the ceiling for a minute, compares with the last commit,
// and fails if something has become slower by more than a third.
func quick(ctx context.Context, b *bench) error {
	b.only = map[string]bool{"null": true, "ringback": true}
	b.seconds = 2
	if err := b.measure(ctx, "", map[string]bool{"core": true}); err != nil {
		return err
	}
	if len(b.results.Failures) > 0 {
		return errors.New("not all could be measured")
	}
	now := []ratio{
		{"throughput", b.results.ratio(throughput, "jobs", "ringback", "null"), true},
		{"processor time of a job", b.results.ratio(throughput, "processor", "ringback", "null"), false},
		{"overhead at low load, p50", b.results.ratio(overhead, "p50", "ringback", "null"), false},
	}
	before, err := b.committed(ctx)
	if err != nil {
		return err
	}
	var slower error
	log.Printf("\n%-28s %10s %10s  (to the ceiling of the same run)", "", "last", "now")
	for _, r := range now {
		was := before[r.Name]
		log.Printf("%-28s %10.3f %10.3f", r.Name, was.Value, r.Value)
		change := r.Value / was.Value
		if !r.More {
			change = 1 / change
		}
		if was.Value > 0 && change < worst {
			slower = errors.Join(slower, fmt.Errorf("%s: %.3f, the last commit had %.3f", r.Name, r.Value, was.Value))
		}
	}
	if slower != nil {
		return fmt.Errorf("slower by more than a third:\n%w", slower)
	}
	return writeQuick(filepath.Join(b.source, quickFile), now)
}

// committed returns the ratios of the last commit; none if it has no file of them.
func (b *bench) committed(ctx context.Context) (map[string]ratio, error) {
	cmd := exec.CommandContext(ctx, "git", "show", "HEAD:./"+quickFile) //nolint:gosec // a name of ours
	cmd.Dir = b.source
	text, err := cmd.Output()
	if err != nil {
		log.Printf("the last commit has no %s: nothing to compare with", quickFile)
		return nil, nil //nolint:nilerr // said
	}
	var all []ratio
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("%s of the last commit: %w", quickFile, err)
	}
	by := map[string]ratio{}
	for _, r := range all {
		by[r.Name] = r
	}
	return by, nil
}

func writeQuick(path string, all []ratio) error {
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644) //nolint:gosec // for all
}
