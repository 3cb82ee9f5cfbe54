//go:build unix

package e2e_test

import (
	"context"
	"html/template"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/chromiumtest"
	"github.com/ringback/ringback/internal/simulate"
)

// pages are two pages of a web team, from their own origin. Each shows an answer while it
// is written. An EventSource reconnects by itself; with a WebSocket the page does. Neither
// page knows a key: the URL that it watches has a token.
var pages = template.Must(template.New("").Parse(`<!doctype html><meta charset="utf-8"><title>watch</title><p id="answer"></p>
<script>
const answer = document.getElementById('answer');
let blocks = {}, attempt = 0, last = '';
window.seen = [];
window.opened = 0;
window.ended = '';
function take(data) {
	const e = JSON.parse(data);
	last = e.attempt + '-' + e.number;
	seen.push(last);
	if (e.job) {
		ended = e.type;
		answer.dataset.result = e.job.result;
		return;
	}
	if (e.attempt > attempt) {
		attempt = e.attempt;
		blocks = {};
	}
	if (e.type === 'job.delta' && e.kind === 'text') {
		blocks[e.index] = (blocks[e.index] || '') + e.text;
	}
	answer.textContent = Object.keys(blocks).sort((a, b) => a - b).map(i => blocks[i]).join('');
}
{{if .WebSocket}}
function connect() {
	const url = {{.URL}}.replace(/^http/, 'ws').replace('/stream?', '/ws?');
	const socket = new WebSocket(last ? url + '&after=' + last : url);
	socket.onopen = () => opened++;
	socket.onmessage = m => take(m.data);
	socket.onclose = c => { if (c.code !== 1000) setTimeout(connect, 200); };
}
connect();
{{else}}
const source = new EventSource({{.URL}});
source.onopen = () => opened++;
const ends = ['job.completed', 'job.failed', 'job.cancelled', 'job.expired'];
for (const type of ['job.queued', 'job.started', 'job.delta', 'job.retrying', ...ends]) {
	source.addEventListener(type, e => {
		if (e.lastEventId !== JSON.parse(e.data).attempt + '-' + JSON.parse(e.data).number) ended = 'wrong id';
		take(e.data);
		if (ends.includes(type)) source.close();
	});
}
{{end}}
</script>`))

// tab is a page that is open.
type tab struct {
	t   *testing.T
	ctx context.Context
}

func openTab(chromium context.Context, t *testing.T, url string) *tab {
	t.Helper()
	ctx, end := chromedp.NewContext(chromium)
	t.Cleanup(func() {
		must(t, chromedp.Cancel(ctx))
		end()
	})
	must(t, chromedp.Do(ctx, chromedp.Navigate(url)))
	return &tab{t, ctx}
}

// asked returns the result of a script.
func asked[T any](p *tab, script string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](script))
	must(p.t, err)
	return v
}

func (p *tab) text() string { return asked[string](p, `document.getElementById('answer').textContent`) }

// Two pages in a real browser, from another origin than the server's, one with EventSource
// and one with WebSocket, show the growing answer, survive a kill of the server, and end
// with the right answer.
func TestPagesInABrowserShowTheAnswerAsItGrows(t *testing.T) {
	t.Parallel()
	browser := chromiumtest.Start(t)
	prompt := utterance("shown in a browser", 120)
	halfway := newBarrier(60, prompt)
	w := newWorld(t, setup{barrier: halfway})
	w.env = append(w.env, "RINGBACK_API_KEY=the-key-of-the-site")

	var stream string // URL of the job's
	site := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = pages.Execute(rw, map[string]any{"URL": stream, "WebSocket": r.URL.Path == "/websocket"})
	}))
	t.Cleanup(site.Close)
	first := w.start("--allow-origin", site.URL)
	api, err := client.New(client.Config{URL: "http://127.0.0.1", APIKey: "the-key-of-the-site", HTTPClient: w.http})
	must(t, err)
	w.ready()
	accepted, err := api.Submit(t.Context(), ringback.Request{
		Stream: true, Prompt: prompt, Model: "sim/blocks?pace=10ms", CallbackURL: w.callback,
	})
	must(t, err)
	stream = w.url() + accepted.StreamURL

	tabs := map[string]*tab{}
	for _, kind := range []string{"eventsource", "websocket"} {
		tabs[kind] = openTab(browser, t, site.URL+"/"+kind)
	}
	half := w.call(func(c simulate.Call) bool { return c.Prompt == prompt && c.Words >= 60 })
	for kind, p := range tabs {
		eventually(t, kind+" shows half of the answer", func() bool { return p.text() == half.Text })
		if asked[string](p, `ended`) != "" {
			t.Errorf("%s: it ended before the job did", kind)
		}
	}

	addr := w.address()
	first.kill()
	halfway.lift()
	w.start("--allow-origin", site.URL, "--addr", addr)
	for kind, p := range tabs {
		eventually(t, kind+" has come to the end", func() bool { return asked[string](p, `ended`) != "" })
	}
	job, err := api.Get(t.Context(), accepted.JobID)
	must(t, err)
	if job.Status != ringback.Completed || *job.Result != prompt {
		t.Fatalf("the job is %s", job.Status)
	}
	for kind, p := range tabs {
		if got := p.text(); got != prompt {
			t.Errorf("%s shows %q, want %q", kind, got, prompt)
		}
		if got := asked[string](p, `document.getElementById('answer').dataset.result`); got != prompt {
			t.Errorf("%s: the last event brought the result %q, want %q", kind, got, prompt)
		}
		if got := asked[string](p, `ended`); got != string(ringback.EventCompleted) {
			t.Errorf("%s ended with %s", kind, got)
		}
		seen, opened := strings.Fields(asked[string](p, `seen.join(' ')`)), asked[int](p, `opened`)
		for i := 1; i < len(seen); i++ {
			before, err := ringback.ParseEventID(seen[i-1])
			must(t, err)
			id, err := ringback.ParseEventID(seen[i])
			must(t, err)
			if id.Compare(before) <= 0 {
				t.Errorf("%s: event %s came behind %s", kind, id, before)
			}
		}
		t.Logf("%s: %d events over %d connections", kind, len(seen), opened)
		if opened < 2 {
			t.Errorf("%s had %d connections, want two: the server was killed under the first", kind, opened)
		}
	}

	stranger := openTab(browser, t, "data:text/html,"+`<script>
		window.heard = 'nothing yet';
		const s = new EventSource('`+stream+`');
		s.onopen = () => heard = 'all';
		s.onerror = () => { if (heard === 'nothing yet') heard = 'refused'; };
	</script>`)
	eventually(t, "a page of another origin has an answer", func() bool { return asked[string](stranger, `heard`) != "nothing yet" })
	if got := asked[string](stranger, `heard`); got != "refused" {
		t.Errorf("a page of an origin that is not allowed got %s", got)
	}
}
