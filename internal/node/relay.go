package node

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
	"github.com/ringback/ringback/internal/live"
	"github.com/ringback/ringback/internal/refusal"
	"github.com/ringback/ringback/internal/sse"
	"github.com/ringback/ringback/internal/store"
)

// RelayHeader marks a reader that is a node: it wants what is written at the other one
// itself, and nothing that this one would have to ask for.
const RelayHeader = "Ringback-Relay"

const (
	// relaySilence is after what time without a word a node is given up: it says every
	// 15 s that it lives.
	relaySilence = 40 * time.Second
	// relayLooks is how often it is looked whether that node lives.
	relayLooks = time.Second
	// relayToken is for how long a node may take to ask.
	relayToken = time.Minute
)

var (
	errSilent  = errors.New("the node that runs the job says nothing")
	errDied    = errors.New("the node that runs the job has died")
	errNoURL   = errors.New("the node that runs the job has no URL at which it can be asked")
	errRelayed = errors.New("the node that runs the job answers otherwise")
)

// newPeers makes the way to other nodes. A node is never behind a proxy of the
// environment.
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

// relay writes what the node that runs a job says of it, until that has no more to
// say. What goes wrong is looked at again soon, so it is told at debug only.
func (n *Node) relay(ctx context.Context, l *live.Log, j *store.Job) {
	if err := n.ask(ctx, l, j); err != nil && ctx.Err() == nil {
		n.log.Debug("events of a job that runs elsewhere are not relayed", "job_id", j.ID, "from_node", j.Node, "err", err)
	}
}

func (n *Node) ask(ctx context.Context, l *live.Log, j *store.Job) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	url := n.members.Session().URLOf(j.Node)
	if url == "" {
		return errNoURL
	}
	req, err := n.relayed(ctx, http.MethodGet, url, j.ID)
	if err != nil {
		return err
	}
	req.Header.Set("Last-Event-ID", l.Last().String())
	silence := time.AfterFunc(relaySilence, func() { end(errSilent) })
	defer silence.Stop()
	stop := n.whileAlive(ctx, j.Node, func() { end(errDied) })
	defer stop()
	resp, err := n.peers.RoundTrip(req)
	if err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s", errRelayed, resp.Status)
	}
	held := n.memory.Reads.Grant()
	defer func() { l.OnForget(held.Release) }()
	for e, err := range sse.Read(&talk{resp.Body, silence}, sse.Limits{Line: maxRelayed, Event: maxRelayed}) {
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

// relayed is a request for the events of a job that stand at a node itself.
func (n *Node) relayed(ctx context.Context, method, url string, job uuid.UUID) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, url+"/api/jobs/"+job.String()+"/stream?token="+n.tokens.Sign(job.String(), n.clock.Now().Add(relayToken)), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set(RelayHeader, "1")
	return req, nil
}

// isWatchedAt tells whether another node has readers of a job. One that can't be asked
// may have some.
func (n *Node) isWatchedAt(ctx context.Context, url string, job uuid.UUID) bool {
	req, err := n.relayed(ctx, http.MethodHead, url, job)
	if err != nil {
		return false
	}
	resp, err := n.peers.RoundTrip(req)
	if err != nil {
		n.log.Debug("a node can't be asked whether it has readers of a job", "job_id", job, "err", err)
		return true
	}
	_ = resp.Body.Close() // it has none
	return resp.StatusCode == http.StatusOK
}

// maxRelayed bounds an event in bytes: a piece of an answer may be all of it.
const maxRelayed = 128 << 20

// talk puts off the silence with each word.
type talk struct {
	io.Reader

	silence *time.Timer
}

func (t *talk) Read(p []byte) (int, error) {
	n, err := t.Reader.Read(p)
	if n > 0 {
		t.silence.Reset(relaySilence)
	}
	return n, err
}

// whileAlive calls died if a node is not among those that live any more, until it is
// stopped or ctx ends.
func (n *Node) whileAlive(ctx context.Context, node string, died func()) (stop func()) {
	ctx, end := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for backoff.Sleep(ctx, relayLooks) {
			if n.members.Session().URLOf(node) == "" {
				died()
				return
			}
		}
	}()
	return func() { end(); <-done }
}
