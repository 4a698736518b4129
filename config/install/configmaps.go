package install

import (
	"cmp"
	"strings"

	"github.com/podkeep/podkeep/internal/configmaps"
)

// Arguments that name ConfigMaps.
const (
	nodeAgentConfigMapArg      = "--node-agent-configmap"
	repositoryConfigMapArg     = "--backup-repository-configmap"
	maintenanceJobConfigMapArg = "--repo-maintenance-job-configmap"
)

// configMapNames are the ConfigMaps that the components of an installation are told
// to read. The webhook is told them, too, so that it knows them when they are written.
func configMapNames(o Options) configmaps.Names {
	return configmaps.Names{
		NodeAgent:       cmp.Or(argument(o.NodeAgentArgs, nodeAgentConfigMapArg), o.NodeAgentConfigMap),
		Repository:      argument(o.ServerArgs, repositoryConfigMapArg),
		MaintenanceJobs: argument(o.ServerArgs, maintenanceJobConfigMapArg),
	}
}

// configMapArgs are the same for the command line of the webhook.
func configMapArgs(o Options) []string {
	names := configMapNames(o)
	var args []string
	for _, a := range []struct{ flag, name string }{
		{nodeAgentConfigMapArg, names.NodeAgent},
		{repositoryConfigMapArg, names.Repository},
		{maintenanceJobConfigMapArg, names.MaintenanceJobs},
	} {
		if a.name != "" {
			args = append(args, a.flag+"="+a.name)
		}
	}
	return args
}

// argument returns the value of a flag, the last one as flags are read, "" when it is
// not there.
func argument(args []string, flag string) string {
	value := ""
	for i, arg := range args {
		name, inline, found := strings.Cut(arg, "=")
		switch {
		case name != flag:
		case found:
			value = inline
		case i+1 < len(args):
			value = args[i+1]
		}
	}
	return value
}
