// Package demo runs the story that ringback demo shows: a real server in a process of its
// own is killed in the middle of an answer, and the answer arrives all the same.
//
//	demo.go    the directory, the simulated model and receiver, and the story's frame
//	story.go   the story, step by step
//	server.go  the server's process: start, wait until it is up, kill
//	screen.go  what the user sees
//	check.go   the checks at the end
//	play.go    what the user's own jobs show afterwards
package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/address"
	"github.com/ringback/ringback/internal/simulate"
	"github.com/ringback/ringback/internal/terminal"
)

// Config says what the demo runs, and where.
type Config struct {
	Program string   // this program; it starts the server
	Environ []string // the server's environment, without variables that set it up; nil: this process's
	Up      string   // the message that the server logs when it is up
	Addr    string   // the server's address; "": 127.0.0.1:8080, or a free port if that is taken

	Out      io.Writer
	Terminal terminal.Terminal // what is known of Out
}

// demo is where the story happens: a directory, a simulated model and receiver in this
// process, and a server in a process of its own.
type demo struct {
	config   Config
	screen   *screen
	dir      string
	listen   string // where the server listens
	addr     string // where it is reached
	callback string // the receiver's URL
	model    string // the provider's
	secret   ringback.Secret
	client   *client.Client

	calls    simulate.CallLog
	receiver *simulate.Receiver
	server   *child                  // nil before its first start
	stop     context.CancelCauseFunc // ends the story; set while it runs
	job      atomic.Pointer[string]
	told     atomic.Bool // the story is over: what happens now is the user's
}

// storyTimeout ends a story that is stuck. It normally takes about 12 s.
const storyTimeout = 2 * time.Minute

// Run runs the story, and on a terminal stays up until ctx is done. An error says what
// did not hold, or what the user can do.
func Run(ctx context.Context, config Config) (err error) {
	d := &demo{config: config, screen: newScreen(config.Out, config.Terminal), secret: ringback.NewSecret()}
	tearDown, err := d.setUp(config.Addr)
	defer func() { err = errors.Join(err, tearDown()) }()
	if err != nil {
		return err
	}
	d.screen.headf("ringback demo · no key, no network · simulated model and receiver · data in %s, removed at exit", d.dir)
	if err := d.runStory(ctx); err != nil {
		return err
	}
	if !config.Terminal.Is {
		return nil
	}
	return d.stayUp(ctx)
}

// runStory runs the story and checks that all of it held.
func (d *demo) runStory(ctx context.Context) error {
	story, cancel := context.WithTimeoutCause(ctx, storyTimeout, fmt.Errorf("it took longer than %s", storyTimeout))
	defer cancel()
	story, d.stop = context.WithCancelCause(story)
	defer d.stop(nil)
	err := d.story(story)
	if err == nil {
		err = d.check(story)
	}
	switch {
	case ctx.Err() != nil:
		return errors.New("the demo was stopped before its end")
	case err != nil && d.server != nil && d.server.tail.String() != "":
		return fmt.Errorf("the demo failed: %w\nthe server's last lines:\n%s", err, d.server.tail)
	case err != nil:
		return fmt.Errorf("the demo failed: %w", err)
	}
	d.told.Store(true)
	return nil
}

// serverDied ends the story: the server ended, and nobody killed it.
func (d *demo) serverDied() { d.stop(errors.New("the server ended by itself")) }

// setUp makes everything but the server. It returns a function that removes what was
// made, also after an error.
func (d *demo) setUp(addr string) (func() error, error) {
	var closers []func()
	tearDown := func() error {
		if d.server != nil {
			d.server.kill() // its data is removed anyway
		}
		for _, f := range closers {
			f()
		}
		return os.RemoveAll(d.dir)
	}
	var err error
	if d.dir, err = os.MkdirTemp("", "ringback-demo-"); err != nil {
		return func() error { return nil }, fmt.Errorf("make a directory: %w", err)
	}
	model, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return tearDown, fmt.Errorf("listen for the simulated model: %w", err)
	}
	closers = append(closers, simulate.Serve(model, simulate.NewProvider(simulate.ProviderConfig{Observe: d.sawCall})))
	hook, err := listenNear("127.0.0.1:9099")
	if err != nil {
		return tearDown, fmt.Errorf("listen for the simulated receiver: %w", err)
	}
	d.receiver, err = simulate.NewReceiver(simulate.ReceiverConfig{Secret: d.secret.Reveal(), Answer: d.answer, Observe: d.sawDelivery})
	if err != nil {
		return tearDown, errors.Join(err, hook.Close())
	}
	closers = append(closers, simulate.Serve(hook, d.receiver))
	d.callback = address.URL(hook.Addr()) + "/hook"
	d.model = address.URL(model.Addr())
	return tearDown, d.place(addr)
}

// place finds the server's address: addr or, if that is "", one that is free.
func (d *demo) place(addr string) error {
	var free net.Listener
	var err error
	if addr == "" {
		free, err = listenNear("127.0.0.1:8080")
	} else {
		free, err = net.Listen("tcp", addr)
	}
	if err != nil {
		return address.Explain(err, cmp.Or(addr, "127.0.0.1:8080"))
	}
	d.listen, d.addr = free.Addr().String(), strings.TrimPrefix(address.URL(free.Addr()), "http://")
	if err := errors.Join(free.Close(), d.writeConfig()); err != nil {
		return err
	}
	d.client, err = client.New(client.Config{URL: "http://" + d.addr})
	return err
}

// listenNear listens on an address, or on any port of its host if it is taken.
func listenNear(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err == nil {
		return l, nil
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	return net.Listen("tcp", net.JoinHostPort(host, "0"))
}

func (d *demo) configFile() string { return filepath.Join(d.dir, "ringback.yaml") }

func (d *demo) writeConfig() error {
	text := fmt.Sprintf(`addr: %q
insecure: %v
data: %q
webhook_secret: %q
allow_callback: [127.0.0.0/8]
providers:
  simulated: {protocol: anthropic, base_url: %q}
`, d.listen, !address.IsLoopback(d.listen), filepath.Join(d.dir, "data"), d.secret.Reveal(), d.model)
	return os.WriteFile(d.configFile(), []byte(text), 0o600)
}
