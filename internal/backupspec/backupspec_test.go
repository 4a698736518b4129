package backupspec

import (
	"encoding/json"
	"testing"

	. "github.com/onsi/gomega"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

func TestProblems(t *testing.T) {
	t.Parallel()

	tests := map[string]struct {
		spec       string
		annotation string
		want       string // part of the only problem; "" means none
	}{
		"nothing is a backup of everything":    {spec: `{}`},
		"all resources are no filter":          {spec: `{"includedResources":["*"]}`},
		"an empty selector matches everything": {spec: `{"labelSelector":{}}`},
		"no snapshots are what we take":        {spec: `{"snapshotVolumes":false,"snapshotMoveData":false}`},
		"Velero's mover without snapshots":     {spec: `{"datamover":"velero"}`},
		"the usual group label":                {spec: `{"volumeGroupSnapshotLabelKey":"velero.io/volume-group"}`},
		"the old name of the default":          {spec: `{"defaultVolumesToRestic":true}`},
		"a hook without command":               {spec: `{"hooks":{"resources":[{"name":"freeze","pre":[{"exec":{}}]}]}}`, want: "spec.hooks.resources[0].pre[0].exec.command: "},
		"snapshotVolumes":                      {spec: `{"snapshotVolumes":true}`, want: "spec.snapshotVolumes: "},
		"volumeSnapshotLocations":              {spec: `{"volumeSnapshotLocations":["a"]}`, want: "spec.volumeSnapshotLocations: "},
		"snapshotMoveData":                     {spec: `{"snapshotMoveData":true}`, want: "spec.snapshotMoveData: "},
		"datamover":                            {spec: `{"datamover":"mine"}`, want: "spec.datamover: "},
		"volumeGroupSnapshotLabelKey":          {spec: `{"volumeGroupSnapshotLabelKey":"mine"}`, want: "spec.volumeGroupSnapshotLabelKey: "},
		"a negative ttl":                       {spec: `{"ttl":"-1h"}`, want: `spec.ttl: Invalid value: "-1h0m0s"`},
		"a negative number of files":           {spec: `{"uploaderConfig":{"parallelFilesUpload":-1}}`, want: "spec.uploaderConfig.parallelFilesUpload: Invalid value: -1"},
		"a timeout that is no duration":        {spec: `{}`, annotation: "soon", want: `metadata.annotations[velero.io/pod-volume-timeout]: Invalid value: "soon"`},
		"a timeout":                            {spec: `{}`, annotation: "90m"},
		"a name beside *":                      {spec: `{"includedNamespaces":["*","a"]}`, want: `spec.includedNamespaces: Invalid value: "*": must be the only entry`},
		"everything excluded":                  {spec: `{"excludedNamespaces":["*"]}`, want: `spec.excludedNamespaces: Invalid value: "*"`},
		"included and excluded":                {spec: `{"includedNamespaces":["a"],"excludedNamespaces":["a"]}`, want: "must not be in includedNamespaces too"},
		"a pattern":                            {spec: `{"includedNamespaces":["team-[ab]-*"]}`},
		"a pattern with an open bracket":       {spec: `{"includedNamespaces":["team-[ab"]}`, want: "complete brackets"},
		"a pattern with two stars":             {spec: `{"includedNamespaces":["team-**"]}`, want: "must be a pattern of"},
		"filters of the old style":             {spec: `{"includedResources":["pods"],"excludedResources":["deploy"],"includeClusterResources":false}`},
		"filters of the new style":             {spec: `{"includedClusterScopedResources":["*"],"excludedNamespaceScopedResources":["x"]}`},
		"filters of both styles":               {spec: `{"includedResources":["pods"],"includedClusterScopedResources":["*"]}`, want: "Forbidden"},
		"labels":                               {spec: `{"labelSelector":{"matchLabels":{"a":"b"}}}`},
		"labels of both kinds":                 {spec: `{"labelSelector":{},"orLabelSelectors":[{}]}`, want: "spec.orLabelSelectors: Forbidden"},
		"an order":                             {spec: `{"orderedResources":{"pods":"a/b"}}`},
		"a name that is none":                  {spec: `{"excludedNamespaces":["Team"]}`, want: "must be the name of a namespace"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			b := &velerov1.Backup{}
			g.Expect(json.Unmarshal([]byte(tc.spec), &b.Spec)).To(Succeed())
			if tc.annotation != "" {
				b.Annotations = map[string]string{velerov1.PodVolumeTimeoutAnnotation: tc.annotation}
			}

			got := append(Problems(b, nil), Unsupported(&b.Spec)...)

			if tc.want == "" {
				g.Expect(got).To(BeEmpty())
				return
			}
			g.Expect(got).To(ConsistOf(ContainSubstring(tc.want)))
		})
	}
}
