// deploycheck reads what docker/ ships by the very code that will read it for its users: Compose's own loader, BuildKit's linter,
// kustomize, and the decoding, defaults, validation and pod security standards of the Kubernetes API server. It needs no container engine and no cluster.
//
//	deploycheck compose FILE          a compose file; prints the project as Compose would run it, in JSON
//	deploycheck dockerfile FILE...    Dockerfiles; a warning of BuildKit's linter is a fault
//	deploycheck kubernetes DIRECTORY  a kustomization; prints what `kubectl kustomize` would, in JSON, one object a line
//
// Exit code 1, with a line on standard error for each fault, when there is one.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "expected compose FILE, dockerfile FILE... or kubernetes DIRECTORY")
		os.Exit(2)
	}
	checks := map[string]func([]string) []error{
		"compose":    checkCompose,
		"dockerfile": checkDockerfiles,
		"kubernetes": checkKubernetes,
	}
	check, known := checks[os.Args[1]]
	if !known {
		fmt.Fprintf(os.Stderr, "expected compose, dockerfile or kubernetes, got %s\n", os.Args[1])
		os.Exit(2)
	}
	faults := check(os.Args[2:])
	for _, fault := range faults {
		fmt.Fprintln(os.Stderr, fault)
	}
	if len(faults) > 0 {
		os.Exit(1)
	}
}
