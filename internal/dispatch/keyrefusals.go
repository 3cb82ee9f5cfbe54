package dispatch

import (
	"time"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/limit"
	"github.com/ringback/ringback/internal/provider"
	"github.com/ringback/ringback/internal/store"
)

// A refusal that seems to be about the account may be about one request: a firewall that
// dislikes a prompt answers 403, too. So one job alone never holds a key. It is retried
// after longer and longer pauses while all others go on. The key is held when different
// jobs are refused in a row, and freed as soon as a call that began after them is answered.
// A job that is refused three times is at fault itself if another one was answered after
// its first refusal. One answer is enough, not one between each two of its tries: once the
// jobs that it came with are done, there may be no others left to be answered, and it would
// wait forever.
//
// Only refusals of the account count like this. A model that asks to be left alone (429,
// 529, 503) may well refuse the same job three times and answer others in between: that is
// what a rate limit does. Such a job ends at its max_wait at the latest.
const (
	// heldAfter is how many different jobs are refused in a row when a key is held, and
	// provenHeldAfter is the same for a key that was answered within provenFor: several
	// prompts that a firewall dislikes may well come in a row.
	heldAfter       = 3
	provenHeldAfter = 10
	provenFor       = time.Minute
	// FaultAfter is how many refusals make a job at fault itself, if another one was
	// answered after the first of them.
	FaultAfter = 3
	// refusedKept bounds the refused jobs that a record keeps.
	refusedKept = 64
	// ownMemory is how long the refusals of a job that does not come back are kept.
	ownMemory = 2 * time.Hour
	// doubtFor is how long the refusal of a job that does not come back counts against its
	// key.
	doubtFor = 2 * time.Minute
)

// keyRecord has what a provider's answers say about its key. Calls are numbered in the
// order in which they begin.
type keyRecord struct {
	calls    int64
	answered int64               // the latest call that was answered
	at       time.Time           // when a call was last answered
	refused  map[uuid.UUID]int64 // jobs whose call was refused after that one began
	holds    bool                // these have begun a hold
}

// condemned reports whether there are enough refusals in a row to hold the key.
func (r *keyRecord) condemned(now time.Time) bool {
	if now.Sub(r.at) < provenFor {
		return len(r.refused) >= provenHeldAfter
	}
	return len(r.refused) >= heldAfter
}

// ownRefusals are the refusals of one job.
type ownRefusals struct {
	provider string
	count    int   // the pauses grow with it
	against  int   // those while the key was not held
	first    int64 // the call of the first of these
	call     int64 // the last one
	at       time.Time
	until    time.Time
	cause    cause
}

// cause is the call whose end began a hold or last lengthened it. It is stored with the
// hold.
type cause struct {
	Project    string    `json:"project"`
	Job        uuid.UUID `json:"job_id"`
	Model      string    `json:"model"`
	StatusCode int       `json:"status_code,omitempty"`
	Error      string    `json:"error"`
}

func causeOf(j *store.Job, f *provider.Error) cause {
	return cause{Project: j.Project, Job: j.ID, Model: j.Model, StatusCode: f.StatusCode, Error: f.Message}
}

// show returns the cause as those see it who may see the jobs of a project.
func (c cause) show(project string) *ringback.HeldBy {
	shown := &ringback.HeldBy{Model: c.Model, StatusCode: c.StatusCode, Error: c.Error}
	if c.Project == project && c.Job != uuid.Nil {
		shown.JobID = c.Job.String()
	}
	return shown
}

// keyRefusal is what follows from the refusal of a key.
type keyRefusal struct {
	hold  bool // the key is held, or this call was to find out whether it still is
	fault bool // the job is at fault
	until time.Time
}

// refusedKey records that a job's call was refused as if for its key.
func (s *scheduler) refusedKey(p *permit, c cause, named time.Time) keyRefusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	rec, now := s.records[p.provider], time.Now()
	if _, again := rec.refused[c.Job]; p.call > rec.answered && (again || len(rec.refused) < refusedKept) {
		rec.refused[c.Job] = p.call
	}
	_, _, held := s.keys[p.provider].Held()

	own := s.own[c.Job]
	if own == nil || own.provider != p.provider {
		own = &ownRefusals{provider: p.provider}
		s.own[c.Job] = own
	}
	if !held {
		if own.against++; own.against == 1 {
			own.first = p.call
		}
	}
	own.count++
	own.call, own.at, own.cause = p.call, now, c
	own.until = later(now.Add(s.gate.Pause(own.count)), named)
	rec.holds = rec.holds || rec.condemned(now)
	return keyRefusal{hold: held || rec.condemned(now), fault: own.against >= FaultAfter && rec.answered > own.first, until: own.until}
}

// answeredKey notes that a call was accepted: its key works. It reports whether that ended
// a hold, which refusals of earlier calls had begun.
func (s *scheduler) answeredKey(p *permit) (freed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rec := s.records[p.provider]
	rec.answered, rec.at = max(rec.answered, p.call), time.Now()
	for job, call := range rec.refused {
		if call < rec.answered {
			delete(rec.refused, job)
		}
	}
	if !rec.holds || rec.condemned(rec.at) {
		return false
	}
	rec.holds = false
	s.keys[p.provider].Free()
	return true
}

// answeredElsewhere notes that another node got an answer with a key, after all that was
// refused here.
func (s *scheduler) answeredElsewhere(provider string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rec := s.records[provider]
	rec.calls++
	rec.answered, rec.at, rec.holds = rec.calls, time.Now(), false
	clear(rec.refused)
}

// doubted returns the last refusal for each key that is not held, but has had no answer
// since.
func (s *scheduler) doubted() (last []ownRefusals) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for provider, rec := range s.records {
		if _, _, held := s.keys[provider].Held(); held {
			continue
		}
		var latest ownRefusals
		for job := range rec.refused {
			if own := s.own[job]; own != nil && own.call > latest.call {
				latest = *own
			}
		}
		if latest.call > 0 {
			last = append(last, latest)
		}
	}
	return last
}

// forget drops the refusals of a job: its call was not refused, or it is at fault itself.
func (s *scheduler) forget(job uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.own, job)
}

// tidyOwn drops the refusals of jobs that have not come back: they were cancelled, or
// another node has them. The caller holds the lock.
func (s *scheduler) tidyOwn() {
	for job, own := range s.own {
		if time.Since(later(own.at, own.until)) > ownMemory {
			delete(s.own, job)
		}
	}
	for _, rec := range s.records {
		for job := range rec.refused {
			if own := s.own[job]; own == nil || time.Since(own.until) > doubtFor {
				delete(rec.refused, job)
			}
		}
	}
}

// heldBy returns the cause of the hold that a job waits for, and whether it is known.
func (s *scheduler) heldBy(j *store.Job) (cause, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range []*limit.Gate{s.keys[j.Provider], s.gates[target{j.Provider, j.Model}]} {
		if g == nil {
			continue
		}
		if _, _, held := g.Held(); held {
			c, known := g.Cause().(cause)
			return c, known
		}
	}
	if own := s.own[j.ID]; own != nil && own.provider == j.Provider {
		return own.cause, true
	}
	return cause{}, false
}

// refusedAlone reports whether a job waits because it alone was refused.
func (s *scheduler) refusedAlone(j *store.Job) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.own[j.ID]
	return own != nil && own.provider == j.Provider
}
