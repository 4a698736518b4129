package installation

import (
	"fmt"

	"github.com/podkeep/podkeep/webhook/serving"
)

// AutoIssuer is the value of --webhook-certs that leaves the choice to the cluster.
const AutoIssuer = "auto"

// CertManager is what a cluster has of cert-manager, and what an installation in it
// uses so far.
type CertManager struct {
	Asked bool // false: there was no cluster to ask, all else is unknown

	Served     bool // the API server has its kinds
	Controller bool // its controller is available
	Injector   bool // its CA injector is available

	Installed serving.Issuer // "": there is no installation
}

// ChooseIssuer returns who makes the webhook's certificates, and why. want is
// AutoIssuer or the name of an issuer.
func ChooseIssuer(want string, found CertManager) (serving.Issuer, string, error) {
	if want != AutoIssuer {
		return forcedIssuer(want, found)
	}
	switch {
	case !found.Asked:
		return serving.SelfSigned, "assumed, because there is no cluster to ask", nil
	case !found.Served:
		return serving.SelfSigned, "the cluster has no cert-manager.io/v1", nil
	case found.Controller && found.Injector:
		return serving.CertManager, "it runs in the cluster", nil
	case found.Installed == serving.CertManager:
		return serving.CertManager, "kept; but " + missingPart(found), nil
	default:
		return serving.SelfSigned, missingPart(found), nil
	}
}

func forcedIssuer(want string, found CertManager) (serving.Issuer, string, error) {
	issuer, err := serving.ParseIssuer("webhook-certs", want)
	switch {
	case err != nil:
		return "", "", fmt.Errorf("%w, %q", err, AutoIssuer)
	case issuer == serving.SelfSigned || !found.Asked:
		return issuer, "as asked", nil
	case !found.Served:
		return "", "", fmt.Errorf("--webhook-certs: Invalid value: %q: the cluster has no cert-manager.io/v1; "+
			"install cert-manager first, or use %q", want, serving.SelfSigned)
	case found.Controller && found.Injector:
		return issuer, "as asked", nil
	default:
		return issuer, "as asked; but " + missingPart(found), nil
	}
}

func missingPart(found CertManager) string {
	part := "CA injector"
	if !found.Controller {
		part = "controller"
	}
	return "no Deployment of cert-manager's " + part + " is available"
}
