package main

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

	"github.com/spf13/cobra"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/simulate"
)

func newDemo() *cobra.Command {
	var addr string
	cmd := &cobra.Command{
		Use:   "demo [--addr HOST:PORT]",
		Short: "Watch a job survive kill -9; needs no key and no network",
		Long: `Watch a job survive kill -9. The server is the real one, a separate process with a real
data directory; the model and the receiver are simulated. The server is killed in the
middle of an answer and started again, the receiver fails once, and the answer still
arrives, once. At the end the demo checks everything that it printed.

If stdout is not a terminal, the demo then exits, with 0 only if every check passed. On
a terminal it stays up until Ctrl-C, so you can try it out. It uses ports 8080 and 9099,
or free ones if those are taken, and removes its directory. --addr sets another address
for the server. Keys in the environment are not used.`,
		Example: `  ringback demo
  ringback demo --addr 127.0.0.1:8090
  ringback demo | cat      the story alone`,
		Annotations: map[string]string{
			titleVariables: "    NO_COLOR   no colours",
			titleExit:      "  0  all of the story held\n  1  something did not: the last lines say what",
		},
		Args:                  cobra.NoArgs,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			program, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			if addr != "" {
				if err := setAddr(&addr, addr); err != nil {
					return fail(exitUsage, "--addr: %w", err)
				}
			}
			return runDemo(cmd.Context(), program, addr, cmd.OutOrStdout(), terminalOf(cmd.OutOrStdout()))
		},
	}
	cmd.Flags().StringVar(&addr, "addr", "", "`HOST:PORT` serve here, or fail; unset: 127.0.0.1:8080, or a free port if that is taken")
	return cmd
}

// demo is the world in which the story happens: a directory, a simulated model
// and receiver in this process, and a server in a process of its own.
type demo struct {
	program  string // starts the server
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
	stop     context.CancelCauseFunc // ends the story; set while it is told
	job      atomic.Pointer[string]
	told     atomic.Bool // the story is over: whatever happens now is the user's
}

// storyTimeout ends a story that got stuck. It takes about 12 s.
const storyTimeout = 2 * time.Minute

// runDemo tells the story, and on a terminal stays up until ctx is done.
func runDemo(ctx context.Context, program, addr string, out io.Writer, term terminal) (err error) {
	d := &demo{program: program, screen: newScreen(out, term), secret: ringback.NewSecret()}
	closeWorld, err := d.build(addr)
	defer func() { err = errors.Join(err, closeWorld()) }()
	if err != nil {
		return err
	}
	d.screen.headf("ringback demo · no key, no network · simulated model and receiver · data in %s, removed at exit", d.dir)
	if err := d.tell(ctx); err != nil {
		return err
	}
	if !term.is {
		return nil
	}
	return d.stayUp(ctx)
}

// tell tells the story and checks that all of it held.
func (d *demo) tell(ctx context.Context) error {
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

// serverDied ends the story when the server ended and nobody killed it.
func (d *demo) serverDied() { d.stop(errors.New("the server ended by itself")) }

// build makes the world. What it returns takes it down again, as far as it came.
func (d *demo) build(addr string) (func() error, error) {
	var closers []func()
	takeDown := func() error {
		if d.server != nil {
			d.server.kill() // nothing of it is to last
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
		return takeDown, fmt.Errorf("listen for the simulated model: %w", err)
	}
	closers = append(closers, serveHandler(model, simulate.NewProvider(simulate.ProviderConfig{Observe: d.sawCall})))
	hook, err := listenNear("127.0.0.1:9099")
	if err != nil {
		return takeDown, fmt.Errorf("listen for the simulated receiver: %w", err)
	}
	d.receiver, err = simulate.NewReceiver(simulate.ReceiverConfig{Secret: d.secret.Reveal(), Answer: d.answer, Observe: d.sawDelivery})
	if err != nil {
		return takeDown, errors.Join(err, hook.Close())
	}
	closers = append(closers, serveHandler(hook, d.receiver))
	d.callback = urlOf(hook.Addr()) + "/hook"
	d.model = urlOf(model.Addr())
	return takeDown, d.place(addr)
}

// place finds the server's address: the one that is asked for or, if that is "", one
// that is free.
func (d *demo) place(addr string) error {
	var free net.Listener
	var err error
	if addr == "" {
		free, err = listenNear("127.0.0.1:8080")
	} else {
		free, err = net.Listen("tcp", addr)
	}
	if err != nil {
		return explainListen(err, cmp.Or(addr, "127.0.0.1:8080"), "")
	}
	d.listen, d.addr = free.Addr().String(), strings.TrimPrefix(urlOf(free.Addr()), "http://")
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
`, d.listen, !isLoopback(d.listen), filepath.Join(d.dir, "data"), d.secret.Reveal(), d.model)
	return os.WriteFile(d.configFile(), []byte(text), 0o600)
}
