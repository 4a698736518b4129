package cluster

import "embed"

// Sources is what the binaries of the cluster are built from, as far as it is
// part of this module. It is read to tell whether they have to be built again.
//
//go:embed go.mod go.sum versions.go kubernetes cmd/pause cmd/provisioner internal/artifacts
var Sources embed.FS
