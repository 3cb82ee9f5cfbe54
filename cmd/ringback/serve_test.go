package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/backoff"
	"github.com/ringback/ringback/internal/simulate"
)

// started is a server in this process, opened by the same function as the real one.
type started struct {
	url    string
	client *client.Client
	stop   func() // returns when it has stopped, and fails the test if that went wrong
	log    *lockedBuffer
	// metrics can be gathered even after it has stopped.
	metrics *prometheus.Registry
}

func start(t *testing.T, args, env []string) started {
	t.Helper()
	c := mustLoad(t, args, env)
	log, metrics := &lockedBuffer{}, newRegistry()
	ctx, cancel := context.WithCancel(context.Background())
	up, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- serve(ctx, c, slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})), metrics, func(url string) { up <- url })
	}()
	s := started{log: log, metrics: metrics, stop: func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
		ended <- nil // for the next call
	}}
	t.Cleanup(s.stop)
	select {
	case url := <-up:
		s.url = url
		var err error
		s.client, err = client.New(client.Config{
			URL: url, APIKey: c.APIKey,
			HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		})
		if err != nil {
			t.Fatal(err)
		}
	case err := <-ended:
		ended <- nil
		t.Fatalf("serve: %v", err)
	}
	return s
}

func TestAJobGoesTheWholeWayAndIsThereAfterARestart(t *testing.T) {
	const key, secret = "key-of-this-test", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	receiver, url := receive(t, simulate.ReceiverConfig{Secret: secret})
	data := filepath.Join(t.TempDir(), "data")
	args := []string{"--addr", "127.0.0.1:0", "--data", data, "--simulate", "--allow-callback", "127.0.0.0/8", "--public-url", "https://r.example.com/"}
	env := []string{"RINGBACK_API_KEY=" + key, "WEBHOOK_SECRET=" + secret, "RINGBACK_DEFAULT_MODEL=sim/echo"}

	first := start(t, args, env)
	accepted, err := first.client.Submit(t.Context(), ringback.Request{Prompt: "Hello", CallbackURL: url})
	if err != nil {
		t.Fatal(err)
	}
	if want := "https://r.example.com/api/jobs/" + accepted.JobID; accepted.StatusURL != want {
		t.Errorf("status_url: got %s, want %s", accepted.StatusURL, want)
	}
	got := webhooks(t, receiver, 1)
	if got[0].JobID != accepted.JobID || !got[0].Verified() {
		t.Fatalf("the webhook of %s, verified: %v; want one of %s", got[0].JobID, got[0].Verified(), accepted.JobID)
	}
	if agent := got[0].Header.Get("User-Agent"); !strings.HasPrefix(agent, "Ringback/") {
		t.Errorf("User-Agent: got %q", agent)
	}
	first.stop()

	second := start(t, args, env)
	job, err := second.client.Get(t.Context(), accepted.JobID)
	if err != nil || job.Status != ringback.Completed || *job.Result != "Hello" {
		t.Errorf("after a restart: %v, got %+v", err, job)
	}
	second.stop()
	for _, log := range []*lockedBuffer{first.log, second.log} {
		if text := log.String(); strings.Contains(text, key) || strings.Contains(text, "whsec_") || strings.Contains(text, "Hello") {
			t.Errorf("a secret or a body is in the log:\n%s", text)
		}
	}
	if _, err := os.Stat(filepath.Join(data, secretFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a secret was kept though one was given: %v", err)
	}
}

func TestAStartThatCannotSucceedChangesNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := write(t, "providers:\n  own: {protocol: anthropic, base_url: \"ftp://x\"}\n")
	for name, args := range map[string][]string{
		"a port in use":   {"--addr", taken.Addr().String(), "--simulate"},
		"a bad base URL":  {"--addr", "127.0.0.1:0", "--config", file},
		"a bad callback":  {"--addr", "127.0.0.1:0", "--simulate", "--allow-callback", "::ffff:10.0.0.0/104"},
		"another machine": {"--addr", "192.0.2.1:1", "--simulate", "--insecure"},
	} {
		data := filepath.Join(t.TempDir(), "data")
		c := mustLoad(t, append(args, "--data", data), nil)
		err := serve(t.Context(), c, slog.New(slog.DiscardHandler), newRegistry(), func(string) { t.Errorf("%s: it came up", name) })
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		if _, err := os.Stat(data); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the data directory was made", name)
		}
	}
}

// process is the real program.
type process struct {
	*exec.Cmd
	client *client.Client
	log    *lockedBuffer
}

func startProcess(t *testing.T, addr string, args ...string) process {
	t.Helper()
	program, err := exec.LookPath("ringback")
	if err != nil {
		t.Fatal(err)
	}
	p := process{Cmd: exec.Command(program, append([]string{"serve", "--simulate", "--addr", addr}, args...)...), log: &lockedBuffer{}}
	p.Stderr = p.log
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Process.Kill()
		p.Wait()
	})
	p.client, err = client.New(client.Config{URL: "http://" + addr, HTTPClient: scriptClient})
	if err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the server is up", func() bool {
		resp, err := scriptClient.Get("http://" + addr + "/readyz")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil && resp.StatusCode == http.StatusOK
	})
	return p
}

func TestSIGTERMDrainsAndTheNextStartGoesOn(t *testing.T) {
	addr, data := freeAddr(t), filepath.Join(t.TempDir(), "data")
	receiver, url := receive(t, simulate.ReceiverConfig{})
	first := startProcess(t, addr, "--data", data, "--allow-callback", "127.0.0.0/8", "--drain-timeout", "1s")
	cut := submit(t, first.client, "sim/slow?words=3&pace=3s", url)
	ends := submit(t, first.client, "sim/slow?words=3&pace=200ms", url)
	waitUntil(t, "both jobs run", func() bool {
		return status(t, first.client, cut) == ringback.Running && status(t, first.client, ends) == ringback.Running
	})
	first.Process.Signal(syscall.SIGTERM)
	waitUntil(t, "readiness is off while calls go on", func() bool {
		resp, err := scriptClient.Get("http://" + addr + "/readyz")
		if err != nil {
			t.Fatalf("the API was gone before the drain was over: %v\n%s", err, first.log)
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusServiceUnavailable
	})
	if err := first.Wait(); err != nil {
		t.Fatalf("after SIGTERM: %v\n%s", err, first.log)
	}
	second := startProcess(t, addr, "--data", data, "--allow-callback", "127.0.0.0/8", "--drain-timeout", "0s")
	attempts, err := second.client.Attempts(t.Context(), cut)
	if err != nil || len(attempts) == 0 || attempts[0].Outcome != ringback.AttemptUncertain {
		t.Errorf("the ledger of the call that was cut: %v, %+v", err, attempts)
	}
	if s := status(t, second.client, ends); s != ringback.Completed {
		t.Errorf("the job that ended in time is %s", s)
	}
	if got := webhooks(t, receiver, 1); got[0].JobID != ends {
		t.Errorf("the webhook of the call that ended in time: got one of %s", got[0].JobID)
	}
}

func TestASecondSignalEndsItAtOnce(t *testing.T) {
	addr := freeAddr(t)
	_, url := receive(t, simulate.ReceiverConfig{})
	p := startProcess(t, addr, "--data", filepath.Join(t.TempDir(), "data"), "--allow-callback", "127.0.0.0/8", "--drain-timeout", "1h")
	id := submit(t, p.client, "sim/mute", url)
	waitUntil(t, "the job runs", func() bool { return status(t, p.client, id) == ringback.Running })
	begin := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- p.Wait() }()
	for {
		p.Process.Signal(syscall.SIGTERM) // a second signal within the first half second does not count
		select {
		case err := <-ended:
			exit, ok := errors.AsType[*exec.ExitError](err)
			if !ok || !exit.Sys().(syscall.WaitStatus).Signaled() {
				t.Errorf("it ended with %v, not by the signal", err)
			}
			if took := time.Since(begin); took < sameSignal {
				t.Errorf("it ended after %s, by what may have been the same signal", took)
			}
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func TestASecretIsWrittenOnceAndForItsOwnerAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), secretFile)
	made, err := keepSecrets(file)
	if err != nil {
		t.Fatalf("the first time: %v", err)
	}
	kept, err := keepSecrets(file)
	if err != nil || len(kept) != 1 || kept[0].Reveal() != made[0].Reveal() {
		t.Errorf("the second time: %v, %d secrets, not that of the first time", err, len(kept))
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode: %v, %v", err, info.Mode())
	}
	if entries, err := os.ReadDir(filepath.Dir(file)); err != nil || len(entries) != 1 {
		t.Errorf("what else is there: %v, %v", err, entries)
	}
}

func receive(t *testing.T, c simulate.ReceiverConfig) (*simulate.Receiver, string) {
	t.Helper()
	r, err := simulate.NewReceiver(c)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return r, server.URL + "/hook"
}

// webhooks waits until that many have arrived.
func webhooks(t *testing.T, r *simulate.Receiver, n int) []simulate.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	got, err := r.Wait(ctx, n)
	if err != nil {
		t.Fatalf("wait for %d webhooks: %v", n, err)
	}
	return got
}

func submit(t *testing.T, c *client.Client, model, url string) string {
	t.Helper()
	accepted, err := c.Submit(t.Context(), ringback.Request{Prompt: model, Model: model, CallbackURL: url})
	if err != nil {
		t.Fatal(err)
	}
	return accepted.JobID
}

func status(t *testing.T, c *client.Client, id string) ringback.Status {
	t.Helper()
	job, err := c.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return job.Status
}

func waitUntil(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for !holds() {
		if backoff.Pause(ctx, 5*time.Millisecond) != nil {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
