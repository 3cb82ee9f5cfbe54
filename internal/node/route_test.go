package node_test

import (
	"strings"
	"testing"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/intake"
	"github.com/ringback/ringback/internal/node"
)

func TestAModelGoesToItsProvider(t *testing.T) {
	t.Parallel()
	with := func(names ...string) *world {
		return start(t, setup{node: func(c *node.Config) {
			p := c.Providers["simulated"]
			c.Providers = map[string]node.Provider{}
			for _, name := range names {
				c.Providers[name] = p
			}
			c.Routes = []intake.Route{{Model: "claude-exact", Provider: "private"}, {Model: "local/*", Provider: "private"}, {Model: "local/*", Provider: "ezai"}}
		}})
	}
	all := with("anthropic", "ezai", "openai", "simulated", "private")
	gateway := with("ezai")
	for _, c := range []struct {
		w                      *world
		model, wanted, routeTo string
	}{
		{all, "claude-sonnet-5-5", "", "anthropic"},
		{all, "claude-exact", "", "private"},
		{all, "claude-exactly", "", "anthropic"},
		{all, "local/llama", "", "private"},
		{all, "gpt-5", "", "openai"},
		{all, "o3", "", "openai"},
		{all, "sim/echo", "", "simulated"},
		{all, "sim/echo", "ezai", "ezai"},
		{all, "anything", "private", "private"},
		{gateway, "claude-sonnet-5-5", "", "ezai"},
		{gateway, "gpt-5", "", "ezai"},
		{gateway, "o3", "", "ezai"},
		{gateway, "local/llama", "", "ezai"},
	} {
		j := c.w.submit(ringback.Request{Model: c.model, Provider: c.wanted, Events: &[]ringback.EventType{}})
		if j.Provider != c.routeTo {
			t.Errorf("%s (provider %q): got %s, want %s", c.model, c.wanted, j.Provider, c.routeTo)
		}
	}
	for _, model := range []string{"sim/echo", "mistral-large", "claude", "Claude-x"} {
		_, err := gateway.try(ringback.Request{Model: model})
		if e := fault(t, err, ringback.InvalidRequest); e.Field != "model" || !strings.Contains(e.Message, "set up are: ezai") {
			t.Errorf("%s: got %q about %s, want a list of what is set up", model, e.Message, e.Field)
		}
	}
}

func TestTheConfiguredDefaultModelIsAskedWhenNoneIsNamed(t *testing.T) {
	t.Parallel()
	w := start(t, setup{node: func(c *node.Config) { c.DefaultModel = "sim/think" }})
	if j := w.end(w.submit(ringback.Request{}).ID); j.RequestedModel != "sim/think" || j.Status != ringback.Completed {
		t.Errorf("got %s by %s, want completed by sim/think", j.Status, j.RequestedModel)
	}
}
