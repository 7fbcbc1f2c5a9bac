package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/compose-spec/compose-go/v2/cli"
)

// checkCompose loads files as `docker compose config` does: the schema, interpolation, merging, and references between services, networks, volumes, secrets and configs.
func checkCompose(files []string) []error {
	options, err := cli.NewProjectOptions(files,
		cli.WithWorkingDirectory(filepath.Dir(files[0])),
		cli.WithName("check"),
	)
	if err != nil {
		return []error{err}
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return []error{err}
	}
	text, err := project.MarshalJSON()
	if err != nil {
		return []error{err}
	}
	fmt.Println(string(text))
	return nil
}
