package reading

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/refusal"
)

// WaitJob returns a job once it has ended, or as it is after d. Its caller counts as
// watching the job, and as having left if ctx ends before the job does: see
// ringback.DisconnectCancel.
func (r *Reader) WaitJob(ctx context.Context, project, id string, d time.Duration, includeRequest bool) (o *Opened, err error) {
	job, err := refusal.JobID(id)
	if err != nil {
		return nil, err
	}
	p := presence{live: r.cfg.Live, project: project, job: job, leave: r.cfg.Live.Present(job)}
	defer func() {
		ended := o != nil && o.Status.Terminal()
		p.end(ctx.Err() != nil && !ended)
	}()
	timer := time.NewTimer(d)
	defer timer.Stop()
	reading := context.WithoutCancel(ctx)
	for {
		moved, leave := r.cfg.Live.Watch(job)
		o, err = r.look(reading, project, id, includeRequest)
		if err != nil {
			leave()
			return nil, err
		}
		if o.Status.Terminal() {
			leave()
			return r.open(reading, o, orRefuse)
		}
		if o.stored.Options.OnDisconnect == ringback.DisconnectCancel {
			p.announce()
		}
		over := r.await(ctx, moved, timer.C)
		leave()
		if over {
			return r.OpenJob(reading, project, id, includeRequest)
		}
	}
}

// await waits until a job has moved, or reports that the wait is over.
func (r *Reader) await(ctx context.Context, moved <-chan struct{}, timeout <-chan time.Time) (over bool) {
	select {
	case <-moved:
		return false
	case <-timeout:
	case <-ctx.Done():
	case <-r.cfg.Stopped:
	}
	return true
}

// presence is a caller that waits for a job's end.
type presence struct {
	live      Live
	project   string
	job       uuid.UUID
	leave     func() (left int)
	announced bool // the job is cancelled if all leave
}

// announce lets the node that runs the job know, once.
func (p *presence) announce() {
	if p.announced {
		return
	}
	announced := p.live.Announce(p.project, p.job)
	p.leave()
	p.leave, p.announced = announced, true
}

// end ends the presence. early means that it ends before the job.
func (p *presence) end(early bool) {
	if left := p.leave(); left == 0 && p.announced && early {
		p.live.Abandoned(p.project, p.job)
	}
}
