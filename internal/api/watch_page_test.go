package api_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/api"
	"github.com/ringback/ringback/internal/chromiumtest"
)

// The ways in which a page shows an answer while it grows, as in docs/api.md.
var watchers = map[string]string{
	"EventSource": `
		const events = new EventSource(url)
		events.addEventListener('job.delta', e => piece(JSON.parse(e.data)))
		events.addEventListener('job.retrying', () => clear())
		events.addEventListener('job.completed', e => { finish(JSON.parse(e.data)); events.close() })`,
	"WebSocket": `
		let seen = '', ended = false
		function watch() {
			const socket = new WebSocket(url.replace('http:', 'ws:').replace('/stream?', '/ws?') + '&after=' + seen)
			socket.onmessage = m => {
				const e = JSON.parse(m.data)
				seen = e.attempt + '-' + e.number
				if (e.type === 'job.delta') piece(e)
				if (e.type === 'job.retrying') clear()
				if (e.job) { ended = true; finish(e) }
			}
			socket.onclose = () => { if (!ended) setTimeout(watch, 100) }
		}
		watch()`,
}

const watchPage = `<!doctype html><title>An answer</title><pre id="text"></pre><p id="end"></p><script>
const url = %q, text = document.getElementById('text'), end = document.getElementById('end')
const piece = d => { if (d.kind === 'text') text.textContent += d.text }
const clear = () => { text.textContent = '' }
const finish = e => { end.textContent = e.job.result === text.textContent ? 'right' : 'wrong' }
%s
</script>`

// A page of another origin shows the growing text, through a restart of the server, to its
// right end.
func TestAPageShowsAnAnswerWhileItGrows(t *testing.T) {
	t.Parallel()
	chromium := chromiumtest.Start(t)
	for name, watch := range watchers {
		t.Run(name, func(t *testing.T) {
			var page string
			elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html; charset=utf-8")
				_, _ = fmt.Fprint(w, page)
			}))
			t.Cleanup(elsewhere.Close)
			s := setup{api: api.Config{APIKey: "k", AllowOrigins: []string{elsewhere.URL}}}
			w := start(t, s)
			got := w.do("POST", "/api/generate", `{"prompt":"Hi","events":[],"stream":true,"model":"sim/slow?words=60&pace=100ms"}`, "x-api-key", "k")
			accepted := read[ringback.Accepted](t, got)
			page = fmt.Sprintf(watchPage, w.url+accepted.StreamURL, watch)

			b := browse(chromium, t)
			b.do(chromedp.Navigate(elsewhere.URL))
			shown := b.grown(0)
			w.restart(s)
			again := b.grown(len(shown))
			if !strings.HasPrefix(again, shown) {
				t.Errorf("it showed %q, and after a restart %q", shown, again)
			}
			if end := evaluate[string](b, `new Promise(done => { const i = setInterval(() => {
				if (end.textContent) { clearInterval(i); done(end.textContent) } }, 20) })`); end != "right" {
				t.Errorf("the answer on the page is %s", end)
			}
			job := read[ringback.Job](t, w.do("GET", accepted.StatusURL, "", "x-api-key", "k"))
			if text := evaluate[string](b, `text.textContent`); text != *job.Result {
				t.Errorf("it shows %q, the result is %q", text, *job.Result)
			}
		})
	}
}

// grown waits until the page shows more than that many characters.
func (b *browser) grown(than int) string {
	b.t.Helper()
	return evaluate[string](b, fmt.Sprintf(`new Promise(done => { const i = setInterval(() => {
		if (text.textContent.length > %d) { clearInterval(i); done(text.textContent) } }, 20) })`, than))
}

// A page whose origin is not allowed sees nothing.
func TestAPageOfAnotherOriginSeesNothing(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	id := w.submit(`"prompt":"Hi"`)
	w.end(id)
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(elsewhere.Close)
	b := browse(chromiumtest.Start(t), t)
	b.do(chromedp.Navigate(elsewhere.URL))
	for name, script := range map[string]string{
		"EventSource": `new Promise(done => { const e = new EventSource(%q); e.addEventListener('job.queued', () => done('seen')); e.onerror = () => done('nothing') })`,
		"WebSocket":   `new Promise(done => { const s = new WebSocket(%q.replace('http:', 'ws:').replace('/stream', '/ws')); s.onmessage = () => done('seen'); s.onclose = () => done('nothing') })`,
	} {
		if got := evaluate[string](b, fmt.Sprintf(script, w.url+"/api/jobs/"+id+"/stream")); got != "nothing" {
			t.Errorf("%s: the page has %s", name, got)
		}
	}
}
