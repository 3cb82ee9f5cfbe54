package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringback/ringback/internal/config"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/intake"
	"github.com/ringback/ringback/internal/node"
)

// samples has, for each setting, a text other than its default, and its parsed value.
var samples = map[string]struct {
	text string
	get  func(config.Config) any
	want any
}{
	"addr":                 {"127.0.0.1:1", func(c config.Config) any { return c.Addr }, "127.0.0.1:1"},
	"data":                 {"/d", func(c config.Config) any { return c.Data }, "/d"},
	"database_url":         {"postgres://u:p@h1:1,h2:2/d?sslmode=require", func(c config.Config) any { return c.DatabaseURL }, "postgres://u:p@h1:1,h2:2/d?sslmode=require"},
	"database_direct_url":  {"postgresql:///d?host=/run/postgresql", func(c config.Config) any { return c.DatabaseDirectURL }, "postgresql:///d?host=/run/postgresql"},
	"database_connections": {"3", func(c config.Config) any { return c.DatabaseConnections }, 3},
	"roles":                {"worker", func(c config.Config) any { return c.Roles }, node.Worker},
	"public_url":           {"https://r.example.com/", func(c config.Config) any { return c.PublicURL }, "https://r.example.com"},
	"advertise_url":        {"http://10.0.0.1:8080/", func(c config.Config) any { return c.AdvertiseURL }, "http://10.0.0.1:8080"},
	"url":                  {"https://r.example.com/", func(c config.Config) any { return c.URL }, "https://r.example.com"},
	"api_key":              {"k1", func(c config.Config) any { return c.APIKey }, "k1"},
	// It ends in an equals sign, like such secrets.
	"webhook_secret": {"whsec_AAAAAAAAAAAAAAAAAAAAAA==", func(c config.Config) any { return c.Secrets[0].Reveal() }, "whsec_AAAAAAAAAAAAAAAAAAAAAA=="},
	"default_model":  {"sim/echo", func(c config.Config) any { return c.DefaultModel }, "sim/echo"},
	"allow_callback": {"127.0.0.0/8,fd00::/8", func(c config.Config) any { return c.AllowCallback },
		[]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}},
	"allow_origin": {"https://a.example.com,http://localhost:3000", func(c config.Config) any { return c.AllowOrigins },
		[]string{"https://a.example.com", "http://localhost:3000"}},
	"allow_provider_header": {"X-Team,openai-beta,x-trace", func(c config.Config) any { return c.AllowHeaders }, []string{"x-team", "x-trace"}},
	"concurrency":           {"7", func(c config.Config) any { return c.Concurrency }, 7},
	"max_queued":            {"8", func(c config.Config) any { return c.MaxQueued }, 8},
	"drain_timeout":         {"1m30s", func(c config.Config) any { return c.DrainTimeout }, 90 * time.Second},
	"simulate":              {"true", func(c config.Config) any { return c.Simulate }, true},
	"insecure":              {"true", func(c config.Config) any { return c.Insecure }, true},
	"log_level":             {"debug", func(c config.Config) any { return c.LogLevel }, slog.LevelDebug},
}

// beside is what some settings need besides.
var beside = map[string][]string{
	"database_url":        {"WEBHOOK_SECRET=s"},
	"database_direct_url": {"WEBHOOK_SECRET=s", "RINGBACK_DATABASE_URL=postgres://h/d"},
	"advertise_url":       {"WEBHOOK_SECRET=s", "RINGBACK_DATABASE_URL=postgres://h/d"},
	"roles":               {"WEBHOOK_SECRET=s", "RINGBACK_DATABASE_URL=postgres://h/d"},
}

func TestEverySettingIsReadFromFlagVariableAndFile(t *testing.T) {
	for _, s := range config.Settings {
		if s.Key == "" {
			continue
		}
		t.Run(s.Key, func(t *testing.T) {
			sample, ok := samples[s.Key]
			if !ok {
				t.Fatalf("there is no sample for %s", s.Key)
			}
			if s.Flag != "" {
				if s.Flag != strings.ReplaceAll(s.Key, "_", "-") {
					t.Errorf("the flag of %s is --%s", s.Key, s.Flag)
				}
				c := mustLoadFor(t, s, []string{"--" + s.Flag + "=" + sample.text}, beside[s.Key])
				if got := sample.get(c); !reflect.DeepEqual(got, sample.want) {
					t.Errorf("by its flag: got %v, want %v", got, sample.want)
				}
			}
			if !strings.HasSuffix(s.Variable, strings.ToUpper(s.Key)) {
				t.Errorf("the variable of %s is %s", s.Key, s.Variable)
			}
			c := mustLoadFor(t, s, nil, append([]string{s.Variable + "=" + sample.text}, beside[s.Key]...))
			if got := sample.get(c); !reflect.DeepEqual(got, sample.want) {
				t.Errorf("by its variable: got %v, want %v", got, sample.want)
			}
			c = mustLoadFor(t, s, []string{"--config", write(t, s.Key+": "+sample.text+"\n")}, beside[s.Key])
			if got := sample.get(c); !reflect.DeepEqual(got, sample.want) {
				t.Errorf("by its key: got %v, want %v", got, sample.want)
			}
		})
	}
}

func TestAFlagGoesBeforeItsVariableAndThatBeforeTheFile(t *testing.T) {
	file := write(t, "concurrency: 1\nallow_callback:\n  - 10.0.0.0/8\n  - fd00::/8\n")
	env := []string{"RINGBACK_CONFIG=" + file}
	if c := mustLoad(t, nil, env); c.Concurrency != 1 || len(c.AllowCallback) != 2 {
		t.Errorf("the file alone: got %d and %v", c.Concurrency, c.AllowCallback)
	}
	env = append(env, "RINGBACK_CONCURRENCY=2", "RINGBACK_ALLOW_CALLBACK=127.0.0.0/8")
	if c := mustLoad(t, nil, env); c.Concurrency != 2 || fmt.Sprint(c.AllowCallback) != "[127.0.0.0/8]" {
		t.Errorf("with variables: got %d and %v", c.Concurrency, c.AllowCallback)
	}
	flags := []string{"--concurrency", "3", "--allow-callback", "192.168.0.0/16", "--allow-callback", "::1/128"}
	if c := mustLoad(t, flags, env); c.Concurrency != 3 || fmt.Sprint(c.AllowCallback) != "[192.168.0.0/16 ::1/128]" {
		t.Errorf("with flags: got %d and %v", c.Concurrency, c.AllowCallback)
	}
}

func TestASwitchCanBeTurnedOffAgain(t *testing.T) {
	env := []string{"RINGBACK_SIMULATE=true"}
	if c := mustLoad(t, []string{"--simulate=false"}, env); c.Simulate {
		t.Error("--simulate=false leaves it on")
	}
}

func TestWhatIsSetToNothingSaysNothing(t *testing.T) {
	file := write(t, "# nothing\nconcurrency: 5\ndata:\nproviders:\nroutes:\n")
	c := mustLoad(t, []string{"--config", file}, []string{"RINGBACK_CONCURRENCY=", "WEBHOOK_SECRET=", "RINGBACK_DATABASE_URL="})
	if c.Concurrency != 5 || len(c.Secrets) > 0 || c.Data != "./ringback-data" {
		t.Errorf("got concurrency %d, secret set %v, data %q", c.Concurrency, len(c.Secrets) > 0, c.Data)
	}
	mustLoad(t, []string{"--config", write(t, "")}, nil)
	mustLoad(t, []string{"--config", write(t, "# only this\n")}, nil)
}

func TestProvidersComeFromEnvironmentAndFile(t *testing.T) {
	env := []string{"EZAI_API_KEY=ez", "ANTHROPIC_API_KEY=an", "ANTHROPIC_BASE_URL=http://127.0.0.1:4000", "OPENAI_API_KEY=oa", "OWN_KEY=ow"}
	file := write(t, `
providers:
  ezai: {concurrency: 3}
  own:
    protocol: anthropic
    base_url: http://10.0.0.5:4000
    api_key_env: OWN_KEY
    requests_per_minute: 60
  keyless: {protocol: openai, base_url: "http://10.0.0.6/v1"}
routes:
  - {model: "llama-*", provider: own}
  - {model: claude-x, provider: anthropic}
`)
	c := mustLoad(t, []string{"--config", file}, env)
	type row struct {
		Name, Protocol, BaseURL, Key string
		Concurrency, PerMinute       int
	}
	var got []row
	for _, u := range c.Providers {
		got = append(got, row{u.Name, u.Protocol, u.BaseURL, string(u.APIKey), u.Concurrency, u.RequestsPerMinute})
	}
	want := []row{
		{"ezai", "anthropic", "https://ezaiapi.com", "ez", 3, 0},
		{"own", "anthropic", "http://10.0.0.5:4000", "ow", 0, 60},
		{"keyless", "openai", "http://10.0.0.6/v1", "", 0, 0},
		{"anthropic", "anthropic", "http://127.0.0.1:4000", "an", 0, 0},
		{"openai", "openai", "https://api.openai.com/v1", "oa", 0, 0},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("providers (-want +got):\n%s", diff)
	}
	routes := []intake.Route{{Model: "llama-*", Provider: "own"}, {Model: "claude-x", Provider: "anthropic"}}
	if diff := cmp.Diff(routes, c.Routes); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
}

func TestAnErrorNamesTheLayerAtFault(t *testing.T) {
	file := write(t, "simulate: true\nconcurrency: 0\n")
	for _, c := range []struct {
		flags, env []string
		want       string
	}{
		{[]string{"--config", file}, nil, file + `:2: concurrency: "0" is not`},
		{[]string{"--config", file}, []string{"RINGBACK_CONCURRENCY=x"}, `RINGBACK_CONCURRENCY: "x" is not`},
		{[]string{"--config", file, "--concurrency", "y"}, []string{"RINGBACK_CONCURRENCY=x"}, `--concurrency: "y" is not`},
		{[]string{"--config", write(t, "addr: 0.0.0.0:80\n")}, nil, `.yaml:1: addr: other machines can reach 0.0.0.0:80`},
		{[]string{"--public-url", "example.com"}, nil, "--public-url: is not the address of a server; write it like https://"},
		{[]string{"--data", " "}, nil, "--data: is empty"},
		{nil, []string{"RINGBACK_API_KEY=a b"}, "RINGBACK_API_KEY: the key must be printable ASCII"},
		{nil, []string{"RINGBACK_API_KEY=a,b"}, "RINGBACK_API_KEY: contains a comma, which no key can; this is one key"},
		{[]string{"--config", write(t, "api_key: a,b\n")}, nil, ".yaml:1: api_key: contains a comma"},
		{nil, []string{"RINGBACK_ALLOW_PROVIDER_HEADER=X-Api-Key"}, "RINGBACK_ALLOW_PROVIDER_HEADER: x-api-key cannot be passed on"},
		{[]string{"--allow-provider-header", "a:b"}, nil, `--allow-provider-header: "a:b" is not the name of a header`},
		{[]string{"--roles", "worker"}, nil, "--roles: a node with a single role needs other nodes"},
		{nil, []string{"RINGBACK_ROLES=both"}, `RINGBACK_ROLES: "both" is not one of api, worker`},
		{[]string{"--roles", ","}, nil, "--roles: is empty"},
		{[]string{"--database-direct-url", "postgres://h/d"}, nil, "--database-direct-url: it requires --database-url, which is not set"},
		{[]string{"--advertise-url", "http://h"}, nil, "--advertise-url: it requires --database-url, which is not set; --public-url is where clients reach the server"},
		{nil, []string{"RINGBACK_DATABASE_URL=postgres://h/d"}, "WEBHOOK_SECRET is not set: all nodes that share a database need the same one"},
		{nil, []string{"RINGBACK_INSECURE=maybe"}, `RINGBACK_INSECURE: "maybe" is neither true nor false`},
		{nil, []string{"RINGBACK_LOG_LEVEL=loud"}, `RINGBACK_LOG_LEVEL: "loud" is not one of debug`},
	} {
		_, err := loadWith(c.flags, c.env)
		if f, ok := errors.AsType[*exit.Error](err); !ok || f.Code != exit.Usage || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v %v: got %v, want an error that says %q", c.flags, c.env, err, c.want)
		}
	}
}

// An invalid URL may still contain a password.
func TestAURLOfADatabaseThatIsNoneIsNotShown(t *testing.T) {
	for _, text := range []string{
		"mysql://u:s3cret@h/d", "postgres://u:s3cret@/d", "postgres://u:s3cret/x@h/d", "postgres://u:%s3cret@h/d",
		"postgres://u:12/s3cret@h/d", "postgres://u:12#s3cret@h/d", "user=u password=s3cret host=h", "s3cret",
	} {
		for _, variable := range []string{"RINGBACK_DATABASE_URL", "RINGBACK_DATABASE_DIRECT_URL"} {
			_, err := loadWith(nil, []string{variable + "=" + text, "WEBHOOK_SECRET=s"})
			if err == nil || !strings.HasPrefix(err.Error(), variable+": ") || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%s=%s: got %v", variable, text, err)
			}
		}
	}
}

func TestOthersAreServedOnlyWithAKeyOrByWish(t *testing.T) {
	for addr, open := range map[string]bool{
		"127.0.0.1:80": true, "[::1]:80": true, "localhost:80": true, "127.9.9.9:80": true,
		":80": false, "0.0.0.0:80": false, "[::]:80": false, "10.0.0.1:80": false, "example.com:80": false,
	} {
		if _, err := loadWith([]string{"--addr", addr}, nil); (err == nil) != open {
			t.Errorf("--addr %s: got %v, want it accepted: %v", addr, err, open)
		}
		mustLoad(t, []string{"--addr", addr, "--insecure"}, nil)
		mustLoad(t, []string{"--addr", addr}, []string{"RINGBACK_API_KEY=k"})
	}
}

// mustLoadFor loads like the commands that read a setting.
func mustLoadFor(t *testing.T, s config.Setting, args, env []string) config.Config {
	t.Helper()
	if !s.Remote {
		return mustLoad(t, args, env)
	}
	list, _, err := newRoot(new(bool)).Find([]string{"jobs", "list"})
	if err != nil {
		t.Fatal(err)
	}
	flags := list.Flags()
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	c, err := config.LoadRemote(flags, env)
	if err != nil {
		t.Fatalf("load %v %v: %v", args, env, err)
	}
	return c
}

func mustLoad(t *testing.T, flags, env []string) config.Config {
	t.Helper()
	c, err := loadWith(flags, env)
	if err != nil {
		t.Fatalf("load %v %v: %v", flags, env, err)
	}
	return c
}

func loadWith(args, env []string) (config.Config, error) {
	flags := newServe().Flags()
	if err := flags.Parse(args); err != nil {
		return config.Config{}, err
	}
	return config.Load(flags, env)
}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ringback.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestAVariableThatIsMisspeltIsTold(t *testing.T) {
	c, err := config.Load(newServe().Flags(), []string{"RINGBACK_CONCURENCY=3", "RINGBACK_EMPTY=", "RINGBACK_SIMULATE=true", "HOME=/"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"RINGBACK_CONCURENCY"}, c.Unknown); diff != "" {
		t.Errorf("unknown variables (-want +got):\n%s", diff)
	}
}
