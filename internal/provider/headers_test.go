package provider

import (
	"strings"
	"testing"
)

func TestTheVersionOfAProviderIsADay(t *testing.T) {
	for version, says := range map[string]string{
		"": "", "2023-06-01": "", "2026-10-21": "",
		"latest":     `anthropic_version "latest" is not a version; write the day of one, like 2023-06-01`,
		"2023-13-01": "is not a version", "2023-06-01 ": "is not a version", "20230601": "is not a version",
	} {
		_, err := New(Config{Name: "own", Protocol: "anthropic", BaseURL: "http://127.0.0.1", Version: version})
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%q: got %v, want it to say %q", version, err, says)
		}
	}
	_, err := New(Config{Name: "own", Protocol: "openai", BaseURL: "http://127.0.0.1", Version: "2023-06-01"})
	if err == nil || !strings.Contains(err.Error(), "anthropic_version is for providers of the protocol anthropic") {
		t.Errorf("of another protocol: got %v", err)
	}
}

func TestNoConfigurationLetsCredentialsOrHeadersOfTheConnectionThrough(t *testing.T) {
	for _, name := range []string{
		"Authorization", "x-api-key", "X_Api_Key", "Cookie", "Proxy-Authorization", "Connection", "Transfer-Encoding", "content-length",
		"Host", "Accept-Encoding", "idempotency-key", "a b", "",
	} {
		if err := CheckHeaderName(name); err == nil {
			t.Errorf("%q may be passed on", name)
		}
	}
	for _, name := range append([]string{"X-Team", "helicone-property-app"}, HeaderNames...) {
		if err := CheckHeaderName(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
