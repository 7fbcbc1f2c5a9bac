package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// checkDockerfiles parses and lints as `docker build --check` does, every stage.
func checkDockerfiles(files []string) []error {
	var faults []error
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return []error{err}
		}
		source := llb.NewSourceMap(nil, file, "Dockerfile", text)
		source.Definition = &llb.Definition{}
		results, err := dockerfile2llb.DockerfileLint(context.Background(), text, dockerfile2llb.ConvertOpt{
			MetaResolver: anyImage{},
			SourceMap:    source,
		})
		if err != nil {
			return []error{err}
		}
		if results.Error != nil {
			faults = append(faults, fmt.Errorf("%s: %s", file, results.Error.Message))
		}
		for _, warning := range results.Warnings {
			faults = append(faults, fmt.Errorf("%s:%d: %s: %s", file, line(warning.Location), warning.RuleName, warning.Detail))
		}
		stages, err := dockerfile2llb.ListTargets(context.Background(), text)
		if err != nil {
			return []error{err}
		}
		for _, target := range stages.Targets {
			fmt.Println(target.Name)
		}
	}
	return faults
}

func line(location *pb.Location) int32 {
	if location == nil || len(location.Ranges) == 0 {
		return 0
	}
	return location.Ranges[0].Start.Line
}

// anyImage stands for a registry: each image exists, for the platform of most, and has no configuration that matters to a linter.
type anyImage struct{}

func (anyImage) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	config, err := json.Marshal(ocispecs.Image{Platform: ocispecs.Platform{OS: "linux", Architecture: "amd64"}})
	return ref, digest.FromBytes(config), config, err
}
