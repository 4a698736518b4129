package install

import (
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// TestPodSecurity has Kubernetes' own checks look at the pods. The node agent
// mounts a directory of the host, which only "privileged" allows.
func TestPodSecurity(t *testing.T) {
	t.Parallel()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	o, err := Options{Image: "registry.example.com/podkeep:v1"}.withDefaults()
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	for _, d := range []*appsv1.Deployment{serverDeployment(o), webhookDeployment(o)} {
		t.Run(d.Name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			result := policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &d.Spec.Template.ObjectMeta, &d.Spec.Template.Spec))

			g.Expect(result.Allowed).To(BeTrue(), result.ForbiddenDetail())
		})
	}
}
