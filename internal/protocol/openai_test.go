package protocol

import "testing"

func TestWhichModelsRefuseMaxTokens(t *testing.T) {
	for model, want := range map[string]bool{
		"o1": true, "o3-mini": true, "o4-mini-2025-04-16": true, "gpt-5": true, "gpt-5.1-chat": true, "gpt-5-mini": true,
		"openai/gpt-5": true, "openai/o3": true, "ft:o4-mini-2025-04-16:acme::x": true,
		"gpt-4o": false, "gpt-4.1": false, "gpt-35-turbo": false, "gpt-3.5-turbo": false, "gpt-oss-20b": false, "ft:gpt-4o:acme::x": false,
		"llama3": false, "olmo-2": false, "o": false, "qwen/qwen3:8b": false, "deepseek-reasoner": false,
	} {
		if got := reasonsFirst.MatchString(model); got != want {
			t.Errorf("%s: got %v, want %v", model, got, want)
		}
	}
}
