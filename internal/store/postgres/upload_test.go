package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/postgrestest"
	"github.com/ringback/ringback/internal/store"
)

// slowLink returns a way to a server over connections that each transfer so many bytes a
// second in either direction.
func slowLink(t testing.TB, database string, rate int) (through string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var pairs sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); l.Close(); pairs.Wait() })
	to := u.Host
	pairs.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			_ = in.(*net.TCPConn).SetReadBuffer(64 << 10)
			context.AfterFunc(ctx, func() { in.Close(); out.Close() })
			slowly := func(to, from net.Conn) {
				defer in.Close()
				defer out.Close()
				for b := make([]byte, 16<<10); ; {
					n, err := from.Read(b)
					if err != nil {
						return
					}
					if _, err := to.Write(b[:n]); err != nil {
						return
					}
					time.Sleep(time.Duration(n) * time.Second / time.Duration(rate))
				}
			}
			pairs.Go(func() { slowly(out, in) })
			pairs.Go(func() { slowly(in, out) })
		}
	})
	u.Host = l.Addr().String()
	return u.String()
}

// noise can't be compressed.
func noise(size int) store.Blob {
	b := make([]byte, size)
	rand.Read(b)
	return store.Blob{Bytes: b}
}

func TestALargeAnswerOverASlowLinkIsStoredAndKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	s := open(t, Config{URL: slowLink(t, postgrestest.Database(t), 1<<20)})
	join(t, s, "here")
	job := submit(t, s, "here")
	answer := noise(18 << 20) // more than its link transfers in the time of a transaction
	webhook := noise(2 << 20)
	delivery := job.ID // a neighbour of its job, as all deliveries are
	delivery[15]++
	decide := func(j store.Job) store.Outcome {
		o := answered(now())(j)
		o.Answer = answer
		o.Delivery = &store.NewDelivery{ID: delivery, Event: ringback.EventCompleted, URL: "http://a.example", Host: "http://a.example:80", Body: webhook, MadeAt: now()}
		return o
	}
	settled := make(chan error, 1)
	go func() {
		_, err := s.Settle(context.Background(), job.Ref(), decide)
		settled <- err
	}()
	slowest := time.Duration(0)
	for done := false; !done; {
		asked := time.Now()
		submit(t, s, "")
		slowest = max(slowest, time.Since(asked))
		select {
		case err := <-settled:
			if err != nil {
				t.Fatalf("settle: %v", err)
			}
			done = true
		case <-time.After(20 * time.Millisecond):
		}
	}
	if slowest > 2*time.Second {
		t.Errorf("a submit waited for %s behind it", slowest)
	}
	_, c, err := s.Job(t.Context(), "default", job.ID, store.PartAnswer)
	if err != nil || string(c.Answer) != string(answer.Bytes) {
		t.Errorf("got %d bytes, %v, want the answer", len(c.Answer), err)
	}
	deliveries, _, err := s.JobDeliveries(t.Context(), "default", job.ID)
	if err != nil || len(deliveries) != 1 {
		t.Fatalf("got %d deliveries, %v, want one", len(deliveries), err)
	}
	b, err := s.Blob(t.Context(), deliveries[0].ID, store.PartPayload)
	if err != nil || string(b.Bytes) != string(webhook.Bytes) {
		t.Errorf("got %d bytes, %v, want those of the webhook", len(b.Bytes), err)
	}
	s.wantUploads(t, 0)
}

func TestLargeContentIsReadOverASlowLink(t *testing.T) {
	t.Parallel()
	database := postgrestest.Database(t)
	n := newJob(t, "")
	n.Request = noise(8 << 20) // more than its link transfers in the time of a read
	if _, _, err := open(t, Config{URL: database}).Submit(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	s := open(t, Config{URL: slowLink(t, database, 1<<20)})
	c, err := s.Content(t.Context(), n.Job.ID, store.PartRequest)
	if err != nil || string(c.Request) != string(n.Request.Bytes) {
		t.Errorf("got %d bytes, %v, want the request", len(c.Request), err)
	}
}

func TestContentThatWasUploadedInVainIsNotKept(t *testing.T) {
	t.Parallel()
	url := postgrestest.Database(t)
	s := open(t, Config{URL: url})
	join(t, s, "here")
	first := newJob(t, "")
	first.Job.IdempotencyKey, first.Job.IdempotencyHash, first.Request = "key", []byte("a"), noise(2<<20)
	if _, _, err := s.Submit(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	s.wantUploads(t, 0)

	// Another process is faster between the upload and the settle.
	job := submit(t, s, "here")
	answer := noise(2 << 20)
	runs := 0
	_, err := s.Settle(t.Context(), job.Ref(), func(j store.Job) store.Outcome {
		o := answered(now())(j)
		if o.Answer = answer; runs == 0 {
			go func() {
				_, _ = s.Settle(context.Background(), job.Ref(), answered(now()))
			}()
			time.Sleep(100 * time.Millisecond)
		}
		runs++
		return o
	})
	if !errors.Is(err, store.ErrFenced) {
		t.Errorf("got %v, want ErrFenced", err)
	}
	s.wantUploads(t, 0)

	// A process dies after an upload.
	up := &uploads{}
	if err := s.upload(t.Context(), []store.Blob{noise(large)}, up); err != nil {
		t.Fatal(err)
	}
	s.wantUploads(t, 1)
	if _, err := s.reads.Exec(t.Context(), `UPDATE ringback.uploads SET at = at - interval '2 hours'`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Prune(t.Context(), now(), 10); err != nil {
		t.Fatal(err)
	}
	s.wantUploads(t, 0)
}

func TestContentThatIsOtherEachTimeIsStoredAllTheSame(t *testing.T) {
	t.Parallel()
	s := open(t, Config{URL: postgrestest.Database(t)})
	join(t, s, "here")
	job := submit(t, s, "here")
	_, err := s.Settle(t.Context(), job.Ref(), func(j store.Job) store.Outcome {
		o := answered(now())(j)
		o.Answer = noise(large)
		return o
	})
	if err != nil {
		t.Fatal(err)
	}
	s.wantUploads(t, 0)
}

// wantUploads counts the uploads that nothing has adopted, and their bodies.
func (s *Store) wantUploads(t *testing.T, want int) {
	t.Helper()
	var uploads, bodies int
	err := s.reads.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM ringback.uploads), (SELECT count(*) FROM ringback.bodies WHERE part = 0)`).Scan(&uploads, &bodies)
	if err != nil || uploads != want || bodies != want {
		t.Errorf("got %d uploads with %d bodies, %v, want %d", uploads, bodies, err, want)
	}
}
