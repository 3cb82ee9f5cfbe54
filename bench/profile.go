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
	dir  string // "" means that nothing is profiled
	addr string // of the running server's net/http/pprof
}

// kinds are pprof's names of what is profiled.
var kinds = []string{"profile", "allocs", "mutex", "block"}

// during profiles while work runs.
func (p *profiler) during(ctx context.Context, name string, work func() error) error {
	if p.dir == "" {
		return work()
	}
	fetched := make(chan error, len(kinds))
	for _, kind := range kinds {
		go func() { fetched <- p.fetch(ctx, name, kind, 4*time.Second) }()
	}
	err := work()
	for range kinds {
		if err := <-fetched; err != nil {
			log.Printf("   no profile: %v", err)
		}
	}
	return err
}

// snapshot takes what is in memory at this moment.
func (p *profiler) snapshot(ctx context.Context, name string) {
	if p.dir == "" {
		return
	}
	for _, kind := range []string{"heap", "goroutine"} {
		if err := p.fetch(ctx, name, kind, 0); err != nil {
			log.Printf("   no profile: %v", err)
		}
	}
}

// fetch takes what happens in that time, or what there is, where it is 0.
func (p *profiler) fetch(ctx context.Context, name, kind string, long time.Duration) error {
	url := fmt.Sprintf("http://%s/debug/pprof/%s?seconds=%d", p.addr, kind, int(long.Seconds()))
	if long == 0 {
		url = fmt.Sprintf("http://%s/debug/pprof/%s", p.addr, kind)
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
	file, err := os.Create(filepath.Join(p.dir, name+"."+kind)) //nolint:gosec // a name of ours
	if err != nil {
		return err
	}
	if _, err := io.Copy(file, resp.Body); err != nil {
		_ = file.Close()
		return err
	}
	return file.Close()
}
