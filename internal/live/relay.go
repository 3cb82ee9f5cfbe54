package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/refusal"
	"github.com/ringback/ringback/internal/sse"
	"github.com/ringback/ringback/internal/store"
)

// RelayHeader marks a reader that is a node: it wants the events that the asked node
// writes itself, and none that this one would have to ask for.
const RelayHeader = "Ringback-Relay"

const (
	// relaySilence is how long a node may send nothing before it is given up: it sends a
	// sign of life every 15 s.
	relaySilence = 40 * time.Second
	// relayLooks is the time between two looks whether that node is alive.
	relayLooks = time.Second
	// relayToken is how long the token of a request between nodes lasts.
	relayToken = time.Minute
)

var (
	errSilent  = errors.New("the node that runs the job sends nothing")
	errDied    = errors.New("the node that runs the job has died")
	errNoURL   = errors.New("the node that runs the job has no URL")
	errRelayed = errors.New("the node that runs the job does not relay it")
)

// newPeers returns the transport to other nodes. It ignores the environment's proxy: nodes
// reach each other directly.
func newPeers() *http.Transport {
	return &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
		TLSHandshakeTimeout:   3 * time.Second,
		ResponseHeaderTimeout: 5 * time.Second,
		ForceAttemptHTTP2:     true,
		IdleConnTimeout:       30 * time.Second,
		MaxIdleConnsPerHost:   64,
		DisableCompression:    true,
	}
}

// relay writes the events that the node which runs a job sends, until there are no more.
// Errors are logged only at debug, since the job is read again soon.
func (w *Watching) relay(ctx context.Context, l *Log, j *store.Job) {
	if err := w.readRelayed(ctx, l, j); err != nil && ctx.Err() == nil {
		w.log.Debug("events of a job that runs elsewhere are not relayed", "job_id", j.ID, "from_node", j.Node, "err", err)
	}
}

func (w *Watching) readRelayed(ctx context.Context, l *Log, j *store.Job) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	url := w.cfg.Session().URLOf(j.Node)
	if url == "" {
		return errNoURL
	}
	req, err := w.relayRequest(ctx, http.MethodGet, url, j.ID)
	if err != nil {
		return err
	}
	req.Header.Set("Last-Event-ID", l.Last().String())
	silence := time.AfterFunc(relaySilence, func() { end(errSilent) })
	defer silence.Stop()
	stop := w.whileAlive(ctx, j.Node, func() { end(errDied) })
	defer stop()
	resp, err := w.peers.RoundTrip(req)
	if err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s", errRelayed, resp.Status)
	}
	held := w.cfg.Reads.Grant()
	defer func() { l.OnForget(held.Release) }()
	for e, err := range sse.Read(&audible{resp.Body, silence}, sse.Limits{Line: maxRelayed, Event: maxRelayed}) {
		if err != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		var event ringback.StreamEvent
		if err := json.Unmarshal(e.Data, &event); err != nil {
			return fmt.Errorf("read an event: %w", err)
		}
		if !held.Take(int64(len(e.Data))) {
			l.Fail(refusal.Read())
			return nil
		}
		l.Append(event)
	}
	return nil
}

// relayRequest returns a request to another node for the events of a job that it writes
// itself.
func (w *Watching) relayRequest(ctx context.Context, method, url string, job uuid.UUID) (*http.Request, error) {
	token := w.cfg.Tokens.sign(job.String(), w.cfg.Clock.Now().Add(relayToken))
	req, err := http.NewRequestWithContext(ctx, method, url+"/api/jobs/"+job.String()+"/stream?token="+token, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set(RelayHeader, "1")
	return req, nil
}

// isWatchedAt reports whether another node has readers of a job. Its error is errUnasked.
func (w *Watching) isWatchedAt(ctx context.Context, url string, job uuid.UUID) (bool, error) {
	req, err := w.relayRequest(ctx, http.MethodHead, url, job)
	if err != nil {
		return false, nil // the node has no URL that is one
	}
	resp, err := w.peers.RoundTrip(req)
	if err != nil {
		w.log.Debug("a node can't be asked whether it has readers of a job", "job_id", job, "err", err)
		return false, errUnasked
	}
	_ = resp.Body.Close() // it has none
	return resp.StatusCode == http.StatusOK, nil
}

// maxRelayed bounds an event in bytes: one piece may be the whole answer.
const maxRelayed = 128 << 20

// audible restarts the timer of a silence at each read that returns something.
type audible struct {
	io.Reader

	silence *time.Timer
}

func (a *audible) Read(p []byte) (int, error) {
	n, err := a.Reader.Read(p)
	if n > 0 {
		a.silence.Reset(relaySilence)
	}
	return n, err
}

// whileAlive calls died when a node is no longer alive, until it is stopped or ctx ends.
func (w *Watching) whileAlive(ctx context.Context, node string, died func()) (stop func()) {
	ctx, end := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for backoff.Sleep(ctx, relayLooks) {
			if w.cfg.Session().URLOf(node) == "" {
				died()
				return
			}
		}
	}()
	return func() { end(); <-done }
}
