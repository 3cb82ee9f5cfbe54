package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// profiler takes pprof's profiles of Ringback while it is measured. It slows it
// down: figures of such a run are for looking into, not for comparing.
type profiler struct {
	dir string // "" means that nothing is profiled
}

// kinds are pprof's names of what is profiled.
var kinds = []string{"profile", "allocs", "mutex", "block"}

// during profiles while work runs.
func (p *profiler) during(ctx context.Context, u *up, workload string, work func() error) error {
	if u.setup.profile == "" {
		return work()
	}
	fetched := make(chan error, len(kinds))
	for _, kind := range kinds {
		go func() { fetched <- p.fetch(ctx, u, workload, kind, 4*time.Second) }()
	}
	err := work()
	for range kinds {
		if err := <-fetched; err != nil {
			log.Printf("   no profile: %v", err)
		}
	}
	return err
}

// snapshot profiles what is in memory at this moment.
func (p *profiler) snapshot(ctx context.Context, u *up, workload string) {
	if u.setup.profile == "" {
		return
	}
	for _, kind := range []string{"heap", "goroutine"} {
		if err := p.fetch(ctx, u, workload, kind, 0); err != nil {
			log.Printf("   no profile: %v", err)
		}
	}
}

// fetch fetches a profile of a length of time, or of the present if long is 0.
func (p *profiler) fetch(ctx context.Context, u *up, workload, kind string, long time.Duration) error {
	url := fmt.Sprintf("http://%s/debug/pprof/%s?seconds=%d", u.setup.profile, kind, int(long.Seconds()))
	if long == 0 {
		url = fmt.Sprintf("http://%s/debug/pprof/%s", u.setup.profile, kind)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	file, err := os.Create(filepath.Join(p.dir, u.Name+"-"+workload+"."+kind)) //nolint:gosec // a name of ours
	if err != nil {
		return err
	}
	if _, err := io.Copy(file, resp.Body); err != nil {
		_ = file.Close()
		return err
	}
	return file.Close()
}
