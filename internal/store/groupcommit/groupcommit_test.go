package groupcommit

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// disk is what is on stable storage, and the ways in which a disk fails.
type disk struct {
	mu      sync.Mutex
	rows    []string
	commits int
	// fail, if set, is the error of the next commit; landed means that the commit took
	// place anyway.
	fail   error
	landed bool
	// hold holds the writer at its next transaction; nil holds nothing.
	hold chan *holding
}

// holding is a waiting writer.
type holding struct{ goOn chan struct{} }

func newDisk() *disk { return &disk{hold: make(chan *holding, 1)} }

type memTx struct {
	disk   *disk
	rows   []string
	writes int
	number int
}

func (t *memTx) put(row string) { t.writes++; t.rows = append(t.rows, row) }

func (t *memTx) Writes() int     { return t.writes }
func (t *memTx) Rollback() error { t.rows = nil; return nil }

func (t *memTx) Commit() error {
	d := t.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.fail
	d.fail = nil
	t.number = d.commits + 1
	if err == nil || d.landed {
		d.rows = append(d.rows, t.rows...)
		d.commits = t.number
	}
	return err
}

func (d *disk) stored() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.rows)
}

var (
	errLost  = errors.New("answer lost")
	errFull  = errors.New("disk full")
	errFatal = errors.New("disk broken")
)

func open(t *testing.T, d *disk, change func(*Config[*memTx])) *Queue[*memTx] {
	cfg := Config[*memTx]{
		Begin: func() (*memTx, error) {
			select {
			case h := <-d.hold:
				<-h.goOn
			default:
			}
			return &memTx{disk: d}, nil
		},
		Unknown: func(err error) bool { return errors.Is(err, errLost) },
		Landed: func(lost *memTx) (bool, error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			return d.commits == lost.number, nil
		},
		Fatal: func(err error) bool { return errors.Is(err, errFatal) },
		Die:   func(err error) { t.Errorf("died of %v", err) },
	}
	if change != nil {
		change(&cfg)
	}
	q := New(cfg)
	t.Cleanup(q.Close)
	return q
}

// hold lets a first write occupy the writer, and holds it there until release.
func hold(t *testing.T, d *disk, q *Queue[*memTx]) (release func()) {
	t.Helper()
	h := &holding{goOn: make(chan struct{})}
	d.hold <- h
	held := make(chan error, 1)
	go func() { held <- q.Do(context.Background(), row("held")) }()
	for len(d.hold) > 0 { // until the writer has arrived
		runtime.Gosched()
	}
	return func() {
		t.Helper()
		close(h.goOn)
		if err := <-held; err != nil {
			t.Fatal(err)
		}
	}
}

// together queues the writes in order while the writer is held, then releases it: they make
// one batch. It returns their errors.
func together(t *testing.T, d *disk, q *Queue[*memTx], writes ...Write[*memTx]) []error {
	t.Helper()
	release := hold(t, d, q)
	errs := make([]error, len(writes))
	var group sync.WaitGroup
	for i, w := range writes {
		group.Go(func() { errs[i] = q.Do(context.Background(), w) })
		waitFor(q, func() bool { return len(q.first)+len(q.others)+len(q.large) == i+1 })
	}
	release()
	group.Wait()
	return errs
}

// waitFor yields until the queue is in a certain state.
func waitFor(q *Queue[*memTx], state func() bool) {
	for {
		q.mu.Lock()
		ok := state()
		q.mu.Unlock()
		if ok {
			return
		}
		runtime.Gosched()
	}
}

func row(name string) Write[*memTx] {
	return Write[*memTx]{Run: func(tx *memTx) error { tx.put(name); return nil }}
}

func TestThoseWhoWaitShareACommit(t *testing.T) {
	d := newDisk()
	q := open(t, d, nil)
	for _, err := range together(t, d, q, row("a"), row("b"), row("c")) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if d.commits != 2 { // the one that held the writer, and the batch
		t.Errorf("commits: got %d, want 2", d.commits)
	}
}

func TestWhatEndsWorkGoesFirst(t *testing.T) {
	d := newDisk()
	q := open(t, d, nil)
	settle := row("settle")
	settle.First = true
	together(t, d, q, row("submit"), settle)
	if got := d.stored(); !slices.Equal(got, []string{"held", "settle", "submit"}) {
		t.Errorf("order: got %v", got)
	}
}

func TestASmallWriteWaitsForOneLargeOneAtMost(t *testing.T) {
	d := newDisk()
	q := open(t, d, nil)
	large := func(name string) Write[*memTx] {
		w := row(name)
		w.Bytes, w.First = 30<<20, true
		return w
	}
	together(t, d, q, large("large 1"), large("large 2"), row("small 1"), large("large 3"), row("small 2"))
	if got := d.stored(); slices.Index(got, "small 2") > len([]string{"held", "large 1", "small 1"}) {
		t.Errorf("order: got %v, want one large write before the small ones at most", got)
	}
	if d.commits != 5 {
		t.Errorf("commits: got %d, want 5: the large ones one by one", d.commits)
	}
}

func TestARefusalCostsOnlyItsMember(t *testing.T) {
	d := newDisk()
	q := open(t, d, nil)
	refusal := errors.New("fenced")
	errs := together(t, d, q, row("a"), Write[*memTx]{Run: func(*memTx) error { return refusal }}, row("c"))
	if errs[0] != nil || !errors.Is(errs[1], refusal) || errs[2] != nil {
		t.Errorf("errors: got %v", errs)
	}
	if d.commits != 2 {
		t.Errorf("commits: got %d, want 2: no write had to run again", d.commits)
	}
}

func TestABadMemberIsTakenOut(t *testing.T) {
	for name, bad := range map[string]func(tx *memTx) error{
		"an error after a write": func(tx *memTx) error { tx.put("half"); return errFull },
		"a panic":                func(tx *memTx) error { tx.put("half"); panic("ouch") },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDisk()
			q := open(t, d, nil)
			errs := together(t, d, q, row("a"), Write[*memTx]{Run: bad}, row("c"))
			if errs[0] != nil || errs[1] == nil || errs[2] != nil {
				t.Errorf("errors: got %v", errs)
			}
			if got := d.stored(); !slices.Equal(got, []string{"held", "a", "c"}) {
				t.Errorf("stored: got %v, want the neighbours, whole, and nothing of the bad one", got)
			}
		})
	}
}

func TestACommitThatFailsIsRunAgainOneByOne(t *testing.T) {
	d := newDisk()
	q := open(t, d, nil)
	runs := 0
	a := Write[*memTx]{Run: func(tx *memTx) error {
		if runs++; runs == 1 {
			d.fail = errFull // of the commit that follows
		}
		tx.put("a")
		return nil
	}}
	errs := together(t, d, q, a, row("b"))
	if errs[0] != nil || errs[1] != nil {
		t.Errorf("errors: got %v", errs)
	}
	if got := d.stored(); !slices.Equal(got, []string{"held", "a", "b"}) {
		t.Errorf("stored: got %v", got)
	}
}

func TestACommitOfUnknownOutcomeIsAskedAbout(t *testing.T) {
	for _, landed := range []bool{true, false} {
		t.Run(fmt.Sprintf("landed %t", landed), func(t *testing.T) {
			d := newDisk()
			d.fail, d.landed = errLost, landed
			q := open(t, d, nil)
			runs, told := 0, 0
			err := q.Do(t.Context(), Write[*memTx]{
				Run:       func(tx *memTx) error { runs++; tx.put("a"); return nil },
				Committed: func() { told++ },
			})
			if err != nil || told != 1 {
				t.Errorf("Do: got %v, Committed called %d times, want once", err, told)
			}
			if got := d.stored(); !slices.Equal(got, []string{"a"}) {
				t.Errorf("stored: got %v, want it once", got)
			}
			if want := map[bool]int{true: 1, false: 2}[landed]; runs != want {
				t.Errorf("runs: got %d, want %d", runs, want)
			}
		})
	}
}

func TestAnOutcomeThatCannotBeLearnedIsSaidSo(t *testing.T) {
	d := newDisk()
	d.fail = errLost
	q := open(t, d, func(c *Config[*memTx]) {
		c.Landed = func(*memTx) (bool, error) { return false, errors.New("no answer") }
	})
	if err := q.Do(t.Context(), row("a")); !errors.Is(err, ErrUnknown) {
		t.Errorf("Do: got %v, want ErrUnknown", err)
	}
}

func TestACancelledCallerIsLeftOut(t *testing.T) {
	d := newDisk()
	q := open(t, d, nil)
	ctx, cancel := context.WithCancel(t.Context())
	release := hold(t, d, q)
	left := make(chan error, 1)
	go func() { left <- q.Do(ctx, row("gone")) }()
	waitFor(q, func() bool { return len(q.others) == 1 })
	cancel()
	release()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled caller: got %v, want context.Canceled", err)
	}
	if got := strings.Join(d.stored(), " "); got != "held" {
		t.Errorf("stored: got %q", got)
	}
}

func TestAFatalErrorEndsAllWriting(t *testing.T) {
	d := newDisk()
	d.fail = errFatal
	var died error
	q := open(t, d, func(c *Config[*memTx]) { c.Die = func(err error) { died = err } })
	if err := q.Do(t.Context(), row("a")); !errors.Is(err, errFatal) {
		t.Errorf("Do: got %v, want the fatal error", err)
	}
	if err := q.Do(t.Context(), row("b")); !errors.Is(err, errFatal) {
		t.Errorf("Do after it: got %v, want the same", err)
	}
	if !errors.Is(died, errFatal) {
		t.Errorf("Die: got %v", died)
	}
}

func TestABatchIsBounded(t *testing.T) {
	d := newDisk()
	q := open(t, d, func(c *Config[*memTx]) { c.MaxBytes = 10; c.MaxMembers = 3 })
	big := row("big")
	big.Bytes = 8
	together(t, d, q, big, big, row("1"), row("2"), row("3"))
	// held · big · big 1 2 · 3
	if d.commits != 4 {
		t.Errorf("commits: got %d, want 4", d.commits)
	}
}

func TestCloseLetsWhatWaitsBeWritten(t *testing.T) {
	d := newDisk()
	q := open(t, d, nil)
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() {
			if err := q.Do(t.Context(), row("x")); err != nil && !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		})
	}
	q.Close()
	group.Wait()
	if err := q.Do(t.Context(), row("late")); !errors.Is(err, ErrClosed) {
		t.Errorf("Do after Close: got %v, want ErrClosed", err)
	}
}

func TestATransactionThatCannotBeginIsTriedOnceForAll(t *testing.T) {
	d := newDisk()
	held := errors.New("held from outside")
	begins, failing := 0, false
	q := open(t, d, func(c *Config[*memTx]) {
		begin := c.Begin
		c.Begin = func() (*memTx, error) {
			tx, err := begin()
			if begins++; failing {
				return nil, held
			}
			failing = true
			return tx, err
		}
	})
	for i, err := range together(t, d, q, row("a"), row("b"), row("c")) {
		if !errors.Is(err, held) {
			t.Errorf("member %d: got %v, want %v", i, err, held)
		}
	}
	if begins != 2 { // the one that held the writer, and the batch
		t.Errorf("transactions begun: got %d, want 2", begins)
	}
}

func TestMembersBlockedFromOutsideDoNotKeepTheOthersWaitingInTurn(t *testing.T) {
	d := newDisk()
	locked := errors.New("another program holds the row")
	q := open(t, d, func(c *Config[*memTx]) { c.Blocked = func(err error) bool { return errors.Is(err, locked) } })
	waits := 0
	blocked := func(first bool) Write[*memTx] {
		return Write[*memTx]{First: first, Run: func(tx *memTx) error {
			tx.put("nothing")
			waits++
			return locked
		}}
	}
	var writes []Write[*memTx]
	for range 100 {
		writes = append(writes, blocked(true))
	}
	writes = append(writes, row("a"), blocked(false), row("b"))
	errs := together(t, d, q, writes...)
	for i, err := range errs[:100] {
		if !errors.Is(err, locked) {
			t.Fatalf("member %d: got %v, want %v", i, err, locked)
		}
	}
	if errs[100] != nil || errs[102] != nil {
		t.Errorf("the others: got %v and %v, want success", errs[100], errs[102])
	}
	if waits > 6 { // one for the batch, three for those who end work, one for the other, and one to spare
		t.Errorf("%d members waited in turn, want a few", waits)
	}
}
