package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// A browser is a tab; it records what its page prints and requests.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	said     []string // on the console: errors, warnings, what the policy blocked
	requests []string
}

func browse(chromium context.Context, t *testing.T) *browser {
	t.Helper()
	ctx, end := chromedp.NewContext(chromium)
	b := &browser{t: t, ctx: ctx}
	var listening sync.WaitGroup
	t.Cleanup(func() {
		must(t, chromedp.Cancel(ctx))
		end()
		listening.Wait()
	})
	listen(b, &listening, chromedp.Console(ctx), func(m chromedp.ConsoleMessage) {
		b.said = append(b.said, fmt.Sprintf("%s: %s (%s)", m.Type, m.Text, m.URL))
	})
	listen(b, &listening, chromedp.Events(ctx, network.RequestWillBeSent), func(e network.EventRequestWillBeSent) {
		b.requests = append(b.requests, e.Request.URL)
	})
	_, err := chromedp.Call(ctx, network.Enable, network.EnableParams{})
	must(t, err)
	return b
}

// listen receives events until the tab is closed.
func listen[E any](b *browser, listening *sync.WaitGroup, events iter.Seq2[E, error], receive func(E)) {
	listening.Go(func() {
		for e, err := range events {
			if err != nil {
				return
			}
			b.mu.Lock()
			receive(e)
			b.mu.Unlock()
		}
	})
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 2*time.Minute)
	defer cancel()
	must(b.t, chromedp.Do(ctx, steps...))
}

// evaluate runs a script, waits for its promise, and returns the result.
func evaluate[T any](b *browser, script string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	must(b.t, err)
	return v
}

// scheme sets the preferred colour scheme, light or dark.
func (b *browser) scheme(name string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
	})
	must(b.t, err)
}

// accessible fails for each problem that axe finds, with all of its rules.
func (b *browser) accessible(when string) {
	b.t.Helper()
	source, err := os.ReadFile("testdata/web/node_modules/axe-core/axe.min.js")
	if err != nil {
		b.t.Fatal("axe is not here; this installs it: npm ci --prefix internal/api/testdata/web")
	}
	b.do(chromedp.Evaluate[chromedp.Void](string(source) + ";0"))
	var violations []struct {
		ID, Help string
		Nodes    []struct{ HTML, FailureSummary string }
	}
	found := evaluate[string](b, `axe.run({resultTypes: ['violations']}).then(r => JSON.stringify(r.violations))`)
	must(b.t, json.Unmarshal([]byte(found), &violations))
	for _, v := range violations {
		for _, n := range v.Nodes[:min(len(v.Nodes), 3)] {
			b.t.Errorf("%s: axe finds %s (%s), %d times: %.300s\n%s", when, v.ID, v.Help, len(v.Nodes), n.HTML,
				strings.ReplaceAll(n.FailureSummary, "\n", " "))
		}
	}
}
