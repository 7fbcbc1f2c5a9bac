package main

import (
	"os"
	"path/filepath"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// models reads each file strictly: an unknown field, a wrong type, a panel's option that its kind does not have are errors.
func models(files []string) error {
	plugins.RegisterDefaultPlugins()
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		result := verdict{Name: filepath.Base(file)}
		var found dashboard.Dashboard
		if err := found.UnmarshalJSONStrict(text); err != nil {
			result.Error = err.Error()
		} else if err := found.Validate(); err != nil {
			result.Error = err.Error()
		}
		result.Panels = len(found.Panels)
		say(result)
	}
	return nil
}
